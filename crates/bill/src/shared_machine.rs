//! Ranks that share the cores of one machine, as on the local stack: how long each takes.
//!
//! On Lambda a function has its own share of a processor, by its memory. On one machine two functions at once slow each
//! other down, and the last one of an odd number is faster than the others. Each rank is a sequence of stages that either
//! wait or compute. At any moment those that compute share the cores in the proportion of their threads, as Linux does,
//! and the time to the next end of a stage follows.

/// A stage of a rank.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stage {
    /// Seconds of waiting, before the rest.
    pub latency: f64,
    /// CPU seconds.
    pub cpu: f64,
    /// Cores that it can use at once.
    pub parallelism: f64,
}

impl Stage {
    /// How long it takes where it has so many cores for itself.
    pub fn alone(&self, cores: f64) -> f64 {
        self.latency + if self.cpu > 0.0 { self.cpu / self.parallelism.min(cores).max(1e-3) } else { 0.0 }
    }
}

/// A rank that runs.
struct Running<'a> {
    rank: usize,
    stages: &'a [Stage],
    /// The stage that it is in.
    stage: usize,
    latency: f64,
    cpu: f64,
    parallelism: f64,
}

impl Running<'_> {
    /// Begins the stage that it is in or, where that takes no time, the next that does. `false` at the end.
    fn begin_stage(&mut self) -> bool {
        while let Some(stage) = self.stages.get(self.stage) {
            (self.latency, self.cpu, self.parallelism) = (stage.latency, stage.cpu, stage.parallelism);
            if self.latency > 0.0 || self.cpu > 0.0 {
                return true;
            }
            self.stage += 1;
        }
        false
    }

    fn computes(&self) -> bool {
        self.latency <= 0.0
    }
}

/// What a rank takes among the others, in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SharedTime {
    pub from: f64,
    /// Of each of its stages.
    pub stages: Vec<f64>,
}

impl SharedTime {
    /// From its start to its end.
    pub fn seconds(&self) -> f64 {
        self.stages.iter().sum()
    }
}

/// When each rank starts and how long its stages take, where `at_once` of them run at the same time on so many cores.
pub fn run(ranks: &[Vec<Stage>], at_once: usize, cores: f64) -> Vec<SharedTime> {
    const NOTHING: f64 = 1e-9;
    let mut times: Vec<SharedTime> =
        ranks.iter().map(|stages| SharedTime { from: 0.0, stages: vec![0.0; stages.len()] }).collect();
    let mut waiting = ranks.iter().enumerate();
    let mut running: Vec<Running<'_>> = Vec::new();
    let mut now = 0.0;
    loop {
        while running.len() < at_once.max(1) {
            let Some((rank, stages)) = waiting.next() else { break };
            times[rank].from = now;
            let mut started = Running { rank, stages, stage: 0, latency: 0.0, cpu: 0.0, parallelism: 1.0 };
            if started.begin_stage() {
                running.push(started);
            }
        }
        if running.is_empty() {
            return times;
        }
        let threads: f64 = running.iter().filter(|rank| rank.computes()).map(|rank| rank.parallelism).sum();
        let share = (cores / threads.max(NOTHING)).min(1.0);
        let left = |rank: &Running<'_>| match rank.computes() {
            true => rank.cpu / (rank.parallelism * share).max(NOTHING),
            false => rank.latency,
        };
        let step = running.iter().map(left).fold(f64::INFINITY, f64::min).max(0.0);
        now += step;
        running.retain_mut(|rank| {
            times[rank.rank].stages[rank.stage] += step;
            if rank.computes() {
                rank.cpu -= step * rank.parallelism * share;
            } else {
                rank.latency -= step;
                if rank.latency <= NOTHING {
                    rank.latency = 0.0;
                }
            }
            if rank.latency > 0.0 || rank.cpu > NOTHING {
                return true;
            }
            rank.stage += 1;
            rank.begin_stage()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(times: &[SharedTime]) -> Vec<f64> {
        times.iter().map(|time| (time.seconds() * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn the_last_of_three_ranks_has_both_cores_for_itself() {
        let rank = vec![Stage { latency: 0.0, cpu: 4.0, parallelism: 2.0 }];
        assert_eq!(took(&run(&vec![rank; 3], 2, 2.0)), [4.0, 4.0, 2.0]);
    }

    #[test]
    fn a_stage_of_one_thread_leaves_the_other_cores_to_others() {
        let single = vec![Stage { latency: 0.0, cpu: 2.0, parallelism: 1.0 }];
        assert_eq!(took(&run(&vec![single.clone(); 2], 2, 2.0)), [2.0, 2.0]);
        // Three threads on two cores, until the one is done.
        let double = vec![Stage { latency: 0.0, cpu: 4.0, parallelism: 2.0 }];
        assert_eq!(took(&run(&[single, double], 2, 2.0)), [3.0, 3.0]);
    }

    #[test]
    fn waiting_takes_no_core() {
        let waits = vec![
            Stage { latency: 1.0, cpu: 0.0, parallelism: 1.0 },
            Stage { latency: 0.0, cpu: 2.0, parallelism: 2.0 },
        ];
        let computes = vec![Stage { latency: 0.0, cpu: 2.0, parallelism: 2.0 }];
        assert_eq!(took(&run(&[waits, computes], 2, 2.0)), [2.0, 1.0]);
        assert!(run(&[], 2, 2.0).is_empty());
        assert_eq!(took(&run(&[vec![]], 2, 2.0)), [0.0]);
    }
}
