//! The Lambda functions that a state machine calls, by its definition.

use serde_json::Value;

/// A function that a state calls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CalledFunction {
    /// As the state names it: by its ARN or name, perhaps with a version or alias.
    pub(crate) function: String,
    /// Whether the state is in a map.
    pub(crate) in_map: bool,
}

impl CalledFunction {
    /// The function's own name, of `arn:aws:lambda:region:account:function:NAME` with or without a version behind it.
    pub(crate) fn name(&self) -> &str {
        match self.function.split_once(":function:") {
            Some((_, name)) => name.split(':').next().unwrap_or(name),
            None => &self.function,
        }
    }
}

/// The functions of a definition, in order and each once.
pub(crate) fn called_functions(definition: &Value) -> Vec<CalledFunction> {
    let mut found = Vec::new();
    collect(definition, false, &mut found);
    found.sort();
    found.dedup();
    found
}

fn collect(definition: &Value, in_map: bool, found: &mut Vec<CalledFunction>) {
    match definition {
        Value::Object(object) => {
            for (key, value) in object {
                let in_map = in_map || key == "ItemProcessor" || key == "Iterator";
                match value.as_str() {
                    Some(text) if key == "FunctionName" || (key == "Resource" && text.contains(":function:")) => {
                        found.push(CalledFunction { function: text.to_owned(), in_map });
                    }
                    _ => collect(value, in_map, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, in_map, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_however_the_machine_names_them() {
        let definition = serde_json::json!({
            "States": {
                "A": {"Resource": "arn:aws:states:::lambda:invoke",
                      "Parameters": {"FunctionName": "arn:aws:lambda:us-east-1:1:function:one:$LATEST"}},
                "B": {"ItemProcessor": {"States": {"C": {"Resource": "arn:aws:lambda:us-east-1:1:function:two"}}}},
                "D": {"Parameters": {"FunctionName": "three"}},
                "E": {"Parameters": {"FunctionName": "three"}},
            }
        });
        let found = called_functions(&definition);
        let found: Vec<_> = found.iter().map(|called| (called.name(), called.in_map)).collect();
        assert_eq!(found, [("one", false), ("two", true), ("three", false)]);
    }
}
