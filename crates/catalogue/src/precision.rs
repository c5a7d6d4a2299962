//! What results say of the precision that their redshifts were computed in. This crate knows no engine, so that precisions
//! are names here, as engines are.

/// The precision of what was computed before there was a choice, and of records that name none.
pub(crate) fn f32_precision() -> String {
    "f32".to_owned()
}
