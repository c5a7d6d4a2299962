//! The AstroMAE network: configuration, weights, folding, and the Engine trait every backend implements.
