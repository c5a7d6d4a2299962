//! Metrics in CloudWatch's
//! [embedded metric format](https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html):
//! a line of the log that says which of its members are metrics. CloudWatch takes them out of it by itself, which needs
//! no call and no permission.
//!
//! The line is one of our own JSON lines all the same, with level, message and span, for `cosmic logs` and Logs
//! Insights. It goes past `tracing`, which writes no objects within an event, and whose filter (`LogFilter=warn`) must not
//! switch metrics off. The crate `metrics_cloudwatch_embedded` writes the format too, from a recorder that collects
//! metrics of the whole process; here one place knows all of a rank's, and the format is the few lines below.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Map, Value, json};

/// `on` makes metrics of the lines. Otherwise the lines are written without saying that they are.
const METRICS: &str = "COSMIC_METRICS";
/// Lambda's own variable.
const FUNCTION_NAME: &str = "AWS_LAMBDA_FUNCTION_NAME";
/// What all metrics of Cosmic are under.
const NAMESPACE: &str = "Cosmic";
/// The only dimension, as of AWS's own metrics of functions. Each value of a dimension makes metrics of its own, at $0.30
/// a month each (<https://aws.amazon.com/cloudwatch/pricing/>), so that executions and ranks must be none.
const DIMENSION: &str = "FunctionName";

/// A unit by [its name in CloudWatch](https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    Bytes,
    Count,
    #[serde(rename = "Count/Second")]
    CountPerSecond,
    Seconds,
}

/// A metric's name, unit and value.
pub type Metric = (&'static str, Unit, Value);

/// Where metrics are written, and whether they are to be any.
#[derive(Debug, Clone)]
pub struct EmbeddedMetrics {
    enabled: bool,
    function: String,
}

impl EmbeddedMetrics {
    /// As the function's environment says.
    pub fn of_environment() -> Self {
        let enabled = std::env::var(METRICS).is_ok_and(|value| value == "on");
        Self::new(enabled, std::env::var(FUNCTION_NAME).unwrap_or_default())
    }

    /// Metrics of a function, or lines without metrics.
    pub fn new(enabled: bool, function: String) -> Self {
        Self { enabled, function }
    }

    /// A line of the log, without its end: the metrics and, beside them, what is no metric. `span` says whose line it is,
    /// as the spans of the other lines do.
    ///
    /// CloudWatch takes finite numbers only. A metric that is none is left out.
    pub fn line(
        &self,
        at: SystemTime,
        message: &str,
        span: Value,
        metrics: Vec<Metric>,
        mut others: Map<String, Value>,
    ) -> String {
        let metrics: Vec<Metric> = metrics.into_iter().filter(|(_, _, value)| value.is_number()).collect();
        if self.enabled {
            let names: Vec<Value> =
                metrics.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
            let directive = json!({ "Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": names });
            let milliseconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
            others.insert("_aws".into(), json!({ "Timestamp": milliseconds, "CloudWatchMetrics": [directive] }));
        }
        others.insert(DIMENSION.into(), self.function.clone().into());
        others.insert("level".into(), "INFO".into());
        others.insert("message".into(), message.into());
        others.insert("span".into(), span);
        others.extend(metrics.into_iter().map(|(name, _, value)| (name.to_owned(), value)));
        Value::Object(others).to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(enabled: bool, metrics: Vec<Metric>) -> Value {
        let at = UNIX_EPOCH + Duration::from_millis(1_795_657_364_385);
        let others = Map::from_iter([("seconds".to_owned(), json!(1.5))]);
        let line = EmbeddedMetrics::new(enabled, "cosmic-inference".into()).line(
            at,
            "rank metrics",
            json!({ "rank": 3 }),
            metrics,
            others,
        );
        assert!(!line.contains('\n'));
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn a_line_says_which_of_its_members_are_metrics() {
        assert_eq!(
            line(true, vec![("Galaxies", Unit::Count, json!(640)), ("Rate", Unit::CountPerSecond, json!(0.5))]),
            json!({
                "_aws": {
                    "Timestamp": 1_795_657_364_385_u64,
                    "CloudWatchMetrics": [{
                        "Namespace": "Cosmic",
                        "Dimensions": [["FunctionName"]],
                        "Metrics": [
                            { "Name": "Galaxies", "Unit": "Count" },
                            { "Name": "Rate", "Unit": "Count/Second" },
                        ],
                    }],
                },
                "FunctionName": "cosmic-inference",
                "Galaxies": 640,
                "Rate": 0.5,
                "seconds": 1.5,
                "level": "INFO",
                "message": "rank metrics",
                "span": { "rank": 3 },
            })
        );
    }

    #[test]
    fn what_is_no_number_is_no_metric() {
        let line = line(true, vec![("A", Unit::Seconds, json!(f64::NAN)), ("B", Unit::Seconds, json!(f64::INFINITY))]);
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Metrics"], json!([]));
        assert_eq!((line.get("A"), line.get("B")), (None, None));
    }

    #[test]
    fn without_metrics_the_line_is_there_all_the_same() {
        let line = line(false, vec![("Galaxies", Unit::Count, json!(640))]);
        assert_eq!((line.get("_aws"), &line["Galaxies"]), (None, &json!(640)));
    }
}
