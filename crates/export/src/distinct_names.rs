//! Names of columns in a form that may not tell all of them apart.

use std::collections::HashSet;

/// Appends `_2`, `_3` … to each name whose `key` an earlier one has.
pub(crate) fn distinct_names(names: &[String], key: fn(&str) -> String) -> Vec<String> {
    // A suffix must make no name that a later column has for its own.
    let own: HashSet<String> = names.iter().map(|name| key(name)).collect();
    let mut taken = HashSet::new();
    let free = |name: &str, taken: &HashSet<String>| {
        let numbered = (2_u32..).map(|number| format!("{name}_{number}"));
        numbered.into_iter().find(|name| !own.contains(&key(name)) && !taken.contains(&key(name)))
    };
    names
        .iter()
        .map(|name| {
            let distinct = match taken.contains(&key(name)) {
                false => name.clone(),
                true => free(name, &taken).unwrap_or_else(|| name.clone()),
            };
            taken.insert(key(&distinct));
            distinct
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_only_in_case_get_numbers_and_take_no_other_columns_name() {
        let names = ["z", "Z", "z_2", "Z_2", "flux"].map(String::from);
        assert_eq!(distinct_names(&names, str::to_lowercase), ["z", "Z_3", "z_2", "Z_2_2", "flux"]);
        assert_eq!(distinct_names(&names, str::to_owned), names);
    }
}
