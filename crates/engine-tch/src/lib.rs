//! The Engine on libtorch, through tch.
