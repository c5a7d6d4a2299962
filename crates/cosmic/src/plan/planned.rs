//! A payload with all that an estimate of it follows from.

use anyhow::Result;
use aws_config::SdkConfig;
use bill::{
    Architecture, Prices,
    estimate::{Estimate, Place, RunWork, Setup, estimate},
    figures::{Figures, Slowdown},
};
use pipeline::payload::{Payload, Precision};

use crate::{
    execution::in_region_of,
    global::Global,
    plan::{
        figures_from,
        setup::{self, FoundSetup, SetupArgs},
        work::{self, DataArgs, PlannedWork},
    },
};

/// All that an estimate of a payload follows from.
pub(crate) struct Planned {
    pub(crate) work: PlannedWork,
    pub(crate) setup: FoundSetup,
    pub(crate) figures: Figures,
    pub(crate) prices: Prices,
}

/// An estimate, and what it would be on the fastest and slowest of the processors that may be.
pub(crate) struct Range {
    pub(crate) low: Estimate,
    pub(crate) likely: Estimate,
    pub(crate) high: Estimate,
}

impl Planned {
    pub(crate) async fn of(
        payload: &Payload,
        data: &DataArgs<'_>,
        setup: &SetupArgs,
        from: Option<&str>,
        aws: Option<&SdkConfig>,
        global: &Global,
    ) -> Result<Self> {
        // As `cosmic run` does: an ARN names its region.
        let aws = aws.map(|aws| in_region_of(aws, setup.state_machine()));
        let aws = aws.as_ref();
        let place = setup::place(global);
        let figures = match from {
            Some(path) => figures_from::read(path, place, global).await?,
            None => Figures::shipped()?,
        };
        let work = work::find(payload, data, &figures, aws, global).await?;
        let setup = setup::find(setup, payload, place, aws).await;
        let prices = Prices::of(&setup.region)?;
        Ok(Self { work, setup, figures, prices })
    }

    pub(crate) fn estimate(&self, work: &RunWork, setup: &Setup, slowdown: f64) -> Estimate {
        estimate(&self.figures, work, setup, &self.prices, slowdown)
    }

    /// The estimate of the payload as it is.
    pub(crate) fn range(&self) -> Range {
        let slowdown = self.slowdown();
        let of = |work, slowdown| self.estimate(work, &self.setup.setup, slowdown);
        let work = &self.work.run;
        let slowest = RunWork { precision: self.slowest_precision(), ..work.clone() };
        Range { low: of(work, slowdown.low), likely: of(work, slowdown.likely), high: of(&slowest, slowdown.high) }
    }

    /// The precision as fast as which the work is at least. A function on x86_64 may get a processor without dot products
    /// of bytes, where int8 is little faster than f32, unless it was measured what functions get. All processors of
    /// Lambda's arm64 have them.
    fn slowest_precision(&self) -> Precision {
        let asked = self.work.run.precision;
        let Setup { place, architecture, .. } = self.setup.setup;
        let known = self.figures.origin.on_lambda && self.figures.rank.has_measured(asked);
        match (place, architecture) {
            (Place::Lambda, Architecture::X86_64) if !known => Precision::F32,
            _ => asked,
        }
    }

    /// How the engine's time in the precision that is asked for is known, where it was not measured at that place.
    pub(crate) fn precision_warning(&self) -> Option<String> {
        const MEASURE: &str = "`cosmic sweep payloads/sweep-precisions.json --set bucket=BUCKET --out out/precisions` \
                               measures it there, and `--from out/precisions` takes its figures";
        let Setup { place, architecture, .. } = self.setup.setup;
        let (asked, rank) = (self.work.run.precision, &self.figures.rank);
        let of_place = self.figures.origin.on_lambda == (place == Place::Lambda);
        if rank.has_measured(asked) && (of_place || asked == Precision::F32) {
            return None;
        }
        if asked == Precision::F32 {
            return Some("f32 was not measured: its time is estimated from that of int8".to_owned());
        }
        let percent = 100.0 * rank.inference_of_galaxy(self.work.run.batch_size, asked)
            / rank.inference_of_galaxy(self.work.run.batch_size, Precision::F32);
        let at = match place {
            Place::Lambda => "on Lambda",
            Place::Machine { .. } => "on such a machine",
        };
        let taken = format!("{asked} was not measured {at}: by the figures it needs {percent:.0} % of the time of f32");
        Some(match (place, architecture) {
            (Place::Lambda, Architecture::X86_64) => format!(
                "{taken} on processors with AVX-512 VNNI, which AWS promises to no function, and nearly all of it on others, \
                 which the high end of the range is of. {MEASURE}"
            ),
            (Place::Lambda, Architecture::Arm64) => format!(
                "{taken}, which is an estimate by the dot products of Graviton2: nothing was measured on arm64. {MEASURE}"
            ),
            (Place::Machine { .. }, _) => format!("{taken}, where the processor has instructions for it. {MEASURE}"),
        })
    }

    /// How much slower the processor is than that of the figures. A machine is taken to be as fast.
    pub(crate) fn slowdown(&self) -> Slowdown {
        match self.setup.setup.place {
            Place::Lambda => self.figures.slowdown(),
            Place::Machine { .. } => Slowdown { low: 1.0, likely: 1.0, high: 1.0 },
        }
    }
}
