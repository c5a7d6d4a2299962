//! The names under a result path that a run gives, and that are a run's therefore.

const COMPLETE: &str = ".parquet";
const INCOMPLETE: &str = ".incomplete.parquet";

/// The name of what a rank leaves, within its folder.
pub(super) fn rank_name(hash: &str, complete: bool) -> String {
    format!("{hash}{}", if complete { COMPLETE } else { INCOMPLETE })
}

/// The hash in the name of what a rank has left, and whether it is complete.
pub(super) fn rank_object(name: &str) -> Option<(&str, bool)> {
    let (hash, complete) = match name.strip_suffix(INCOMPLETE) {
        Some(hash) => (hash, false),
        None => (name.strip_suffix(COMPLETE)?, true),
    };
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then_some((hash, complete))
}

/// Whether a name under `map/` is one that Step Functions gives: `<uuid>/manifest.json`, `<uuid>/FAILED_0.json`
/// (<https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html>).
pub(super) fn is_map_record(name: &str) -> bool {
    let Some((uuid, file)) = name.split_once('/') else { return false };
    let is_uuid = uuid.len() == 36 && uuid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let is_record = file.strip_suffix(".json").is_some_and(|stem| {
        let numbered = ["SUCCEEDED_", "FAILED_", "PENDING_"].iter().find_map(|kind| stem.strip_prefix(kind));
        stem == "manifest" || numbered.is_some_and(|number| number.parse::<u64>().is_ok())
    });
    is_uuid && is_record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_run_gives_are_a_runs() {
        let hash = "0123456789abcdef".repeat(4);
        assert_eq!(rank_object(&format!("{hash}.parquet")), Some((hash.as_str(), true)));
        assert_eq!(rank_object(&format!("{hash}.incomplete.parquet")), Some((hash.as_str(), false)));
        let upper = hash.to_uppercase();
        for name in
            [format!("{hash}.json"), format!("x/{hash}.parquet"), format!("{upper}.parquet"), "a.parquet".into()]
        {
            assert_eq!(rank_object(&name), None, "{name}");
        }
        let uuid = "01234567-89ab-cdef-0123-456789abcdef";
        assert!(is_map_record(&format!("{uuid}/manifest.json")) && is_map_record(&format!("{uuid}/FAILED_12.json")));
        for name in [
            "plan.json".into(),
            "notes/manifest.json".into(),
            format!("{uuid}/x/manifest.json"),
            format!("{uuid}/FAILED_x.json"),
        ] {
            assert!(!is_map_record(&name), "{name}");
        }
    }
}
