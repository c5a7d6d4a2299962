//! The machine that a sweep runs on, as Linux describes it.

use std::fs;

use experiments::Machine;

/// Describes this machine. What cannot be found out is called unknown.
pub(super) fn this_machine() -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let unknown = || "unknown".to_owned();
    let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
    Machine {
        cpu: field(&read("/proc/cpuinfo"), "model name", ':').unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
        memory_mb: field(&read("/proc/meminfo"), "MemTotal", ':').map_or(0, |total| megabytes(&total)),
        os: field(&read("/etc/os-release"), "PRETTY_NAME", '=')
            .map_or_else(|| std::env::consts::OS.to_owned(), |name| name.trim_matches('"').to_owned()),
        kernel: if kernel.is_empty() { unknown() } else { kernel },
    }
}

/// The value of the first line of this name.
fn field(text: &str, name: &str, separator: char) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(separator))
        .find(|(found, _)| found.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
}

/// `24 kB`, which are KiB, in MB of 10⁶ bytes.
fn megabytes(kibibytes: &str) -> u64 {
    let number = kibibytes.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
    number.unwrap_or(0) * 1024 / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_the_forms_of_proc_and_os_release() {
        let cpu = "processor\t: 0\nmodel name\t: AMD EPYC 9R14\nmodel name\t: another\n";
        assert_eq!(field(cpu, "model name", ':').as_deref(), Some("AMD EPYC 9R14"));
        assert_eq!(field("MemTotal:   24689696 kB\n", "MemTotal", ':').map(|total| megabytes(&total)), Some(25_282));
        assert_eq!(field("NAME=x", "PRETTY_NAME", '='), None);
    }
}
