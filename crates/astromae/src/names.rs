//! Names of tensors, in messages.

use torch_file::Printable;

/// The most names of a message.
pub(crate) const MAX_NAMES: usize = 5;

/// The first of some names, and how many there are.
pub(crate) fn name_some(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(MAX_NAMES).map(|name| Printable(name).to_string()).collect();
    match names.len() {
        ..=MAX_NAMES => shown.join(", "),
        count => format!("{}, … ({count} in all)", shown.join(", ")),
    }
}
