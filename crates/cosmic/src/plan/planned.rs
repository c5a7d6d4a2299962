//! A payload with all that an estimate of it follows from.

use anyhow::Result;
use aws_config::SdkConfig;
use bill::{
    Prices,
    estimate::{Estimate, Place, RunWork, Setup, estimate},
    figures::{Figures, Slowdown},
};
use pipeline::payload::Payload;

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
        let of = |slowdown| self.estimate(&self.work.run, &self.setup.setup, slowdown);
        Range { low: of(slowdown.low), likely: of(slowdown.likely), high: of(slowdown.high) }
    }

    /// How much slower the processor is than that of the figures. A machine is taken to be as fast.
    pub(crate) fn slowdown(&self) -> Slowdown {
        match self.setup.setup.place {
            Place::Lambda => self.figures.slowdown(),
            Place::Machine { .. } => Slowdown { low: 1.0, likely: 1.0, high: 1.0 },
        }
    }
}
