//! What the operating system says this process has used.

use nix::sys::resource::{UsageWho, getrusage};

/// CPU seconds (user and system, all threads) since the process started.
pub fn cpu_seconds() -> f64 {
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// Processors that this process may use.
pub fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

/// The most resident memory that the process has used so far, in MB of 10⁶ bytes.
pub fn peak_memory_mb() -> f64 {
    // What getrusage says of a process that was just started holds its parent's peak too: Linux carries it over `exec`.
    // A run that a large program starts would be as large as that program.
    if let Some(bytes) = std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(peak_in_status) {
        return bytes / 1e6;
    }
    // Linux counts in KiB, macOS in bytes.
    let unit = if cfg!(target_os = "macos") { 1.0 } else { 1024.0 };
    getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| usage.max_rss() as f64 * unit / 1e6)
}

/// The peak in bytes that /proc/self/status has as `VmHWM:     24 kB`, which are KiB.
fn peak_in_status(status: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(value.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_peak_is_the_process_own() {
        assert_eq!(peak_in_status("Name:\tx\nVmHWM:\t   1000 kB\nVmRSS:\t 1 kB\n"), Some(1_024_000.0));
        assert_eq!(peak_in_status("Name:\tx\n"), None);
        if !cfg!(target_os = "linux") {
            return;
        }
        let large = std::hint::black_box(vec![1_u8; 100_000_000]);
        assert!(peak_memory_mb() > 100.0, "{} bytes are not seen", large.len());
        let child = Command::new("grep").args(["VmHWM", "/proc/self/status"]).output().unwrap();
        let peak = peak_in_status(&String::from_utf8(child.stdout).unwrap()).unwrap();
        assert!(peak < 50e6, "a child has the peak of its parent: {peak} bytes");
    }
}
