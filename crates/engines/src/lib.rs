//! Chooses among the engines this binary was built with.
