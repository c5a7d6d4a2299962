//! Addresses in S3 as people write them, taken apart or refused with what to write instead.
//!
//! What is taken: `name`, where a bucket is asked for, `s3://name/key` and `arn:aws:s3:::name/key`. What else names a
//! bucket is known and refused by name, because the roles of the stack allow the bucket and none of these:
//!
//! - access points, by ARN or alias, and those of several regions or with a function in between;
//! - directory buckets (S3 Express One Zone), which have permissions of their own, and list without an order;
//! - addresses of the web.
//!
//! Aliases and directory buckets are told by the endings that no other bucket's name may have:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>.

const ALIAS_ENDINGS: [&str; 3] = ["-s3alias", "--ol-s3", ".mrap"];
const DIRECTORY_BUCKET_ENDING: &str = "--x-s3";

const DIRECTORY_BUCKET: &str =
    "is a directory bucket (S3 Express One Zone), which is not supported: copy the files into a general purpose bucket";

/// Whether S3 could have a bucket of this name. Old buckets have longer names and more characters than new ones may
/// have.
pub fn is_bucket_name(name: &str) -> bool {
    let characters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=255).contains(&name.len())
        && name.chars().all(characters)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// Whether a text is meant as an address in S3, and not as a bucket's bare name or a path of this machine.
pub fn is_in_s3(text: &str) -> bool {
    is_url(text, "s3:") || text.starts_with("arn:") || is_web(text)
}

/// Takes an address apart: the bucket, and the key in it as it was written, which may be empty.
///
/// # Errors
/// What it is instead, and what to write.
pub fn split_address(text: &str) -> Result<(&str, &str), String> {
    let rest = match text.get(..5) {
        Some(scheme) if scheme.eq_ignore_ascii_case("s3://") => &text[5..],
        _ if is_url(text, "s3:") => {
            return Err(format!("is no address: write s3://{}", text[3..].trim_start_matches('/')));
        }
        _ if text.starts_with("arn:") => match text.split_once(":s3:::") {
            Some((partition, rest)) if partition.matches(':').count() == 1 => rest,
            _ => return Err(no_bucket_arn(text).to_owned()),
        },
        _ if is_web(text) => return Err(web_address(text)),
        _ => text,
    };
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    check_bucket(bucket)?;
    Ok((bucket, key))
}

/// Refuses what is no bucket's name.
///
/// # Errors
/// What it is instead, and what to write.
fn check_bucket(name: &str) -> Result<(), String> {
    let said = match name {
        _ if name.ends_with(DIRECTORY_BUCKET_ENDING) => DIRECTORY_BUCKET,
        _ if ALIAS_ENDINGS.iter().any(|ending| name.ends_with(ending)) => {
            "is the alias of an access point: write the name of the bucket behind it"
        }
        _ if is_bucket_name(name) => return Ok(()),
        "" => "names no bucket",
        _ => "is not the name of a bucket, which has letters, digits, dots and hyphens",
    };
    Err(said.to_owned())
}

fn is_url(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

fn is_web(text: &str) -> bool {
    is_url(text, "https://") || is_url(text, "http://")
}

fn no_bucket_arn(arn: &str) -> &'static str {
    match arn {
        _ if arn.contains(":accesspoint") => "is an access point: write the name of the bucket behind it",
        _ if arn.contains(":s3express:") => DIRECTORY_BUCKET,
        _ => "is not the ARN of a bucket, arn:aws:s3:::name",
    }
}

/// What to write in place of an address of the web: those of S3 have the bucket before `.s3`, or first in the path.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html>
fn web_address(text: &str) -> String {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let of_s3 = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
    let bucket_first = |path: &str| (!path.is_empty()).then(|| format!("s3://{path}"));
    let meant = match host.find(".s3.").or_else(|| host.find(".s3-")) {
        Some(end) if of_s3 => Some(format!("s3://{}/{path}", &host[..end])),
        _ if of_s3 && (host.starts_with("s3.") || host.starts_with("s3-")) => bucket_first(path),
        _ => None,
    };
    match meant {
        Some(meant) => format!("is an address of the web: write {}", meant.trim_end_matches('/')),
        None => "is an address of the web: write s3://bucket/prefix".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_taken_apart_in_each_of_its_forms() {
        for (text, bucket, key) in [
            ("sky", "sky", ""),
            ("sky/", "sky", ""),
            ("s3://sky", "sky", ""),
            ("S3://sky//25MB/", "sky", "/25MB/"),
            ("s3://my.sky-2/a b+c%25é", "my.sky-2", "a b+c%25é"),
            ("arn:aws:s3:::sky", "sky", ""),
            ("arn:aws-cn:s3:::sky/25MB/", "sky", "25MB/"),
            // From before 2018, in us-east-1.
            ("s3://Old_Sky/1.pt", "Old_Sky", "1.pt"),
        ] {
            assert_eq!(split_address(text), Ok((bucket, key)), "{text}");
        }
    }

    #[test]
    fn what_is_no_bucket_is_refused_with_what_to_write() {
        for (text, said) in [
            ("", "names no bucket"),
            ("s3://", "names no bucket"),
            ("s3:///25MB", "names no bucket"),
            ("s3:/sky/25MB", "write s3://sky/25MB"),
            ("my sky", "letters, digits"),
            ("../sky", "letters, digits"),
            ("s3://arn:aws:s3:::sky/1.pt", "letters, digits"),
            ("arn:aws:s3:eu-west-1:123456789012:accesspoint/sky", "the bucket behind it"),
            ("arn:aws:s3::123456789012:accesspoint/sky.mrap", "the bucket behind it"),
            ("arn:aws:s3express:us-east-1:123456789012:bucket/sky--use1-az4--x-s3", "general purpose bucket"),
            ("arn:aws:lambda:us-east-1:123456789012:function:sky", "arn:aws:s3:::name"),
            ("s3://sky-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias/25MB", "the bucket behind it"),
            ("sky--use1-az4--x-s3", "general purpose bucket"),
            ("https://sky.s3.eu-west-1.amazonaws.com/25MB/", "write s3://sky/25MB"),
            ("HTTPS://my.sky.s3-us-west-2.amazonaws.com", "write s3://my.sky"),
            ("https://s3.eu-west-1.amazonaws.com/sky/25MB/?list-type=2", "write s3://sky/25MB"),
            ("https://eu-west-1.console.aws.amazon.com/s3/buckets/sky", "write s3://bucket/prefix"),
        ] {
            let refused = split_address(text).unwrap_err();
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_names_a_bucket_and_loses_nothing(text in "(s3:/{0,3}|S3://|arn:aws:s3:::|https://)?[a-zA-Z0-9./ :-]{0,20}") {
            if let Ok((bucket, key)) = split_address(&text) {
                prop_assert!(is_bucket_name(bucket));
                let address = format!("{bucket}/{key}");
                prop_assert!(text.ends_with(&address) || key.is_empty() && text.ends_with(bucket));
            }
        }
    }
}
