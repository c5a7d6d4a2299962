//! The domain: payload, plan, object storage, one rank's work, catalogue, metrics, merge.
