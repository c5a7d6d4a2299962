//! A page of a listing, held against what it says of itself. The parser of the SDK takes an answer whose end is missing
//! for a shorter list, and a lost file would be a lost part of the catalogue.

use std::borrow::Cow;

use aws_sdk_s3::{
    operation::list_objects_v2::ListObjectsV2Output,
    types::{EncodingType, Object},
};
use percent_encoding::percent_decode_str;

use crate::storage::object::ObjectInfo;

/// Why a page is not whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    #[error("the listing does not say {0}")]
    Missing(&'static str),
    #[error("the listing says that it has {said} keys, and has {found}")]
    Count { said: i32, found: usize },
    #[error("the listing says that it is truncated, and not how it goes on")]
    Endless,
    #[error("the listing has an object without {0}")]
    Object(&'static str),
    #[error("the listing has a key that is not UTF-8: {0}")]
    Key(String),
}

/// One page: its objects, and the token of the next one.
pub(super) struct Page {
    pub(super) objects: Vec<ObjectInfo>,
    pub(super) next: Option<String>,
}

impl Page {
    /// Checks an answer.
    pub(super) fn of(answer: ListObjectsV2Output) -> Result<Self, PageError> {
        let said = answer.key_count.ok_or(PageError::Missing("how many keys it has (KeyCount)"))?;
        let truncated = answer.is_truncated.ok_or(PageError::Missing("whether it is whole (IsTruncated)"))?;
        let encoded = answer.encoding_type == Some(EncodingType::Url);
        let found = answer.contents.unwrap_or_default();
        if usize::try_from(said) != Ok(found.len()) {
            return Err(PageError::Count { said, found: found.len() });
        }
        let next = answer.next_continuation_token.filter(|token| !token.is_empty());
        let next = match truncated {
            true => Some(next.ok_or(PageError::Endless)?),
            false => None,
        };
        let objects = found.into_iter().map(|object| info(object, encoded)).collect::<Result<_, _>>()?;
        Ok(Self { objects, next })
    }
}

fn info(object: Object, encoded: bool) -> Result<ObjectInfo, PageError> {
    let key = object.key.ok_or(PageError::Object("a key"))?;
    let size = object.size.and_then(|size| u64::try_from(size).ok()).ok_or(PageError::Object("a size"))?;
    let etag = object.e_tag.ok_or(PageError::Object("an ETag"))?;
    let key = if encoded { decode(&key)? } else { key };
    Ok(ObjectInfo { key, size, etag })
}

/// Undoes `encoding-type=url`, which is a form's encoding: a blank is a plus, and a plus is `%2B`.
pub(super) fn decode(key: &str) -> Result<String, PageError> {
    let key = key.replace('+', "%20");
    percent_decode_str(&key).decode_utf8().map(Cow::into_owned).map_err(|_| PageError::Key(key.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: i32, truncated: Option<bool>, next: Option<&str>) -> Result<Page, PageError> {
        let object = Object::builder().key("a+b%0A%C3%A9.pt").size(3).e_tag("\"x\"").build();
        Page::of(
            ListObjectsV2Output::builder()
                .encoding_type(EncodingType::Url)
                .key_count(keys)
                .set_is_truncated(truncated)
                .set_next_continuation_token(next.map(str::to_owned))
                .contents(object)
                .build(),
        )
    }

    #[test]
    fn keys_are_decoded() {
        assert_eq!(page(1, Some(false), None).unwrap().objects[0].key, "a b\né.pt");
    }

    #[test]
    fn a_page_that_is_not_what_it_says_is_an_error() {
        assert!(matches!(page(2, Some(false), None), Err(PageError::Count { said: 2, found: 1 })));
        assert!(matches!(page(1, None, None), Err(PageError::Missing(_))));
        assert!(matches!(page(1, Some(true), None), Err(PageError::Endless)));
        assert_eq!(page(1, Some(true), Some("t")).unwrap().next.as_deref(), Some("t"));
        let without_size = Object::builder().key("1.pt").e_tag("x").build();
        let answer = ListObjectsV2Output::builder().key_count(1).is_truncated(false).contents(without_size).build();
        assert!(matches!(Page::of(answer), Err(PageError::Object("a size"))));
    }
}
