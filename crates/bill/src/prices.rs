//! AWS's list prices by region, from `data/prices.json`, which says where each is from and when it was gathered.
//!
//! They are without the free tier, volume discounts and taxes. Lambda's price falls above six billion GB-seconds a month
//! (<https://aws.amazon.com/lambda/pricing/>), which would cost $100,000: that is left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::invocations::Architecture;

const DATA: &str = include_str!("../data/prices.json");

/// The region whose prices stand in for one that is not in the data.
const STAND_IN: &str = "us-east-1";

/// What AWS asks for in a region, in US dollars.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prices {
    /// The region that was asked for.
    pub region: String,
    /// The region whose prices these are, where there are none of `region`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stand_in: Option<String>,
    /// When they were gathered, such as `2026-11-25`.
    pub date: String,
    /// Per GB-second of billed Lambda time. A GB is 1024 MB of configured memory.
    pub gb_second: PerArchitecture,
    pub lambda_request: f64,
    /// Per GB-second of temporary storage above the 512 MB that each function has.
    pub temporary_gb_second: f64,
    /// Per state transition of a standard workflow.
    pub state_transition: f64,
    /// Per GET or HEAD of S3's standard class.
    pub s3_read: f64,
    /// Per PUT or LIST of S3's standard class.
    pub s3_write: f64,
}

/// A price that depends on the processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PerArchitecture {
    pub x86_64: f64,
    pub arm64: f64,
}

impl PerArchitecture {
    pub fn of(self, architecture: Architecture) -> f64 {
        match architecture {
            Architecture::X86_64 => self.x86_64,
            Architecture::Arm64 => self.arm64,
        }
    }
}

impl Prices {
    /// The prices of a region, or those of us-east-1 where the region is not in the data.
    ///
    /// # Errors
    /// Never, as long as the tests of the data pass.
    pub fn of(region: &str) -> Result<Self, BadPrices> {
        let table: Table = serde_json::from_str(DATA)?;
        let (found, stand_in) = match table.regions.get(region) {
            Some(found) => (*found, None),
            None => (*table.regions.get(STAND_IN).ok_or(BadPrices::NoStandIn)?, Some(STAND_IN.to_owned())),
        };
        Ok(Self {
            region: region.to_owned(),
            stand_in,
            date: table.date,
            gb_second: PerArchitecture {
                x86_64: found.lambda_million_gb_seconds.x86_64 / 1e6,
                arm64: found.lambda_million_gb_seconds.arm64 / 1e6,
            },
            lambda_request: found.lambda_million_requests / 1e6,
            temporary_gb_second: found.lambda_million_temporary_gb_seconds / 1e6,
            state_transition: found.step_functions_thousand_transitions / 1e3,
            s3_read: found.s3_thousand_reads / 1e3,
            s3_write: found.s3_thousand_writes / 1e3,
        })
    }
}

/// The prices that are part of the program cannot be used. Without them everything would cost nothing.
#[derive(Debug, thiserror::Error)]
pub enum BadPrices {
    #[error("the shipped prices cannot be read")]
    Unreadable(#[from] serde_json::Error),
    #[error("the shipped prices have none of {STAND_IN}")]
    NoStandIn,
}

#[derive(Debug, Deserialize)]
struct Table {
    date: String,
    regions: BTreeMap<String, Region>,
}

/// A region's prices, as AWS states them.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Region {
    lambda_million_gb_seconds: PerArchitecture,
    lambda_million_requests: f64,
    lambda_million_temporary_gb_seconds: f64,
    step_functions_thousand_transitions: f64,
    s3_thousand_reads: f64,
    s3_thousand_writes: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_has_every_price() {
        let table: Table = serde_json::from_str(DATA).unwrap();
        assert!(table.regions.len() >= 10);
        for region in table.regions.keys() {
            let prices = Prices::of(region).unwrap();
            assert_eq!(prices.stand_in, None);
            let Prices { gb_second, lambda_request, temporary_gb_second, state_transition, s3_read, s3_write, .. } =
                prices;
            for price in [lambda_request, temporary_gb_second, state_transition, s3_read, s3_write] {
                assert!(price > 0.0 && price < 1e-4, "{region}: {price}");
            }
            assert!((0.75..0.85).contains(&(gb_second.arm64 / gb_second.x86_64)), "{region}");
        }
        assert_eq!(Prices::of("us-east-1").unwrap().state_transition, 0.000_025);
        assert_eq!(Prices::of("sa-east-1").unwrap().state_transition, 0.000_037_5);
        assert!(Prices::of("us-east-1").unwrap().date.starts_with("20"));
    }

    #[test]
    fn a_region_that_is_not_known_says_whose_prices_stand_in() {
        let prices = Prices::of("mars-north-1").unwrap();
        assert_eq!((prices.region.as_str(), prices.stand_in.as_deref()), ("mars-north-1", Some("us-east-1")));
        assert_eq!(prices.s3_write, 0.000_005);
    }
}
