//! The bootstrap of a Lambda zip that carries libtorch: unpacks it and starts the handler.

fn main() {}
