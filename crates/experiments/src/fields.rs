//! Reading JSON objects whose every field is known, with errors that say where in the file something is wrong.

use std::ops::RangeInclusive;

use pipeline::payload::kind;
use serde_json::{Map, Value};

/// How alike two names must be for one to be taken for a misspelling of the other (Jaro-Winkler, 1 is equality).
const ALIKE: f64 = 0.85;

/// The text says what is wrong, and in which field.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// An object of the file, with the place that it has there. `null` counts as absent.
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// Such as `grids[1].`, or nothing for the file itself.
    place: String,
}

impl<'a> Fields<'a> {
    /// Takes an object, all of whose fields must be among the known ones.
    pub(crate) fn of(value: &'a Value, place: String, known: &[&str]) -> Result<Self> {
        let Value::Object(object) = value else {
            let place = if place.is_empty() { "the file" } else { place.trim_end_matches('.') };
            return Err(format!("{place} must be an object with {}, found {}", known.join(", "), kind(value)));
        };
        for name in object.keys() {
            if !known.contains(&name.as_str()) {
                let likeness = |field: &str| strsim::jaro_winkler(field, &name.to_lowercase());
                let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
                let hint = nearest
                    .filter(|field| likeness(field) >= ALIKE)
                    .map(|field| format!(": did you mean `{field}`?"))
                    .unwrap_or_default();
                return Err(format!("unknown field `{place}{name}`{hint} (known: {})", known.join(", ")));
            }
        }
        Ok(Self { object, place })
    }

    /// The name of a field as an error shows it.
    pub(crate) fn name(&self, field: &str) -> String {
        format!("`{}{field}`", self.place)
    }

    pub(crate) fn get(&self, field: &str) -> Option<&'a Value> {
        self.object.get(field).filter(|value| !value.is_null())
    }

    fn wrong(&self, field: &str, expected: &str, found: &Value) -> String {
        format!("{} must be {expected}, found {}", self.name(field), kind(found))
    }

    pub(crate) fn text(&self, field: &str) -> Result<Option<String>> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.trim().to_owned())),
            Some(other) => Err(self.wrong(field, "a text that is not empty", other)),
        }
    }

    pub(crate) fn integer(&self, field: &str, allowed: &RangeInclusive<u64>) -> Result<Option<u64>> {
        let Some(value) = self.get(field) else { return Ok(None) };
        match integer(value, allowed) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(field, &bounds(allowed), value)),
        }
    }

    /// A list with at least one value, or the default where the field is absent. A value alone is a list of one.
    pub(crate) fn list<T>(
        &self,
        field: &str,
        default: Vec<T>,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>> {
        // A null alone says nothing, as anywhere; in a list it has a meaning.
        let values = match self.get(field) {
            None => return Ok(default),
            Some(Value::Array(values)) => values.as_slice(),
            Some(value) => std::slice::from_ref(value),
        };
        if values.is_empty() {
            return Err(format!("{} is an empty list: leave it out, or name {expected}", self.name(field)));
        }
        values.iter().map(|value| read(value).ok_or_else(|| self.wrong(field, expected, value))).collect()
    }
}

/// A whole number within bounds, which may be written as 512 or 512.0.
pub(crate) fn integer(value: &Value, allowed: &RangeInclusive<u64>) -> Option<u64> {
    // Above 2⁵³, numbers with a point are no longer each whole number.
    let whole = |number: f64| {
        (number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&number)).then_some(number as u64)
    };
    let number = value.as_u64().or_else(|| value.as_f64().and_then(whole))?;
    allowed.contains(&number).then_some(number)
}

/// What a number within bounds is called.
pub(crate) fn bounds(allowed: &RangeInclusive<u64>) -> String {
    match *allowed.end() {
        u64::MAX => format!("a whole number from {} upwards", allowed.start()),
        high => format!("a whole number from {} to {high}", allowed.start()),
    }
}
