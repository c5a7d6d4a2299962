//! Reads and writes torch.save archives without Python and without executing anything.
