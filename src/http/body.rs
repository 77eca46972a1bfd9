//! Request bodies: JSON with errors that name the field, and CSV.
//!
//! actix runs all extractors of a handler at the same time. So an [`Emcee`] beside a body would not keep strangers from
//! having it read: the body would be read while the ledger is asked about the sign-in. [`EmceeBody`] asks first.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use super::auth::Emcee;
use super::error::{ApiError, ApiResult};
use crate::domain::Invalid;

/// Of a body from anybody: a cast, a join, a sign-in.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Of an emcee's: enough for 10,000 invites, or for a room of 100 rounds.
const MAX_EMCEE_BODY_BYTES: usize = 4 * 1024 * 1024;

/// The future of an extractor.
type Extracting<T> = Pin<Box<dyn Future<Output = ApiResult<T>>>>;

/// Extracts a JSON body. An empty body counts as `{}`.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move { Ok(Self(parse(&read(&request, payload, MAX_BODY_BYTES).await?)?)) })
    }
}

/// Extracts the emcee, and then a JSON body.
pub struct EmceeBody<T> {
    /// Who sends it.
    pub emcee: Emcee,
    /// What is in it.
    pub body: T,
}

impl<T: DeserializeOwned + 'static> FromRequest for EmceeBody<T> {
    type Error = ApiError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let extracted = EmceeBytes::from_request(request, payload);
        Box::pin(async move {
            let EmceeBytes { emcee, bytes } = extracted.await?;
            Ok(Self { emcee, body: parse(&bytes)? })
        })
    }
}

/// Extracts the emcee, and then a body as it is.
pub struct EmceeBytes {
    /// Who sends it.
    pub emcee: Emcee,
    /// All of it.
    pub bytes: web::BytesMut,
}

impl FromRequest for EmceeBytes {
    type Error = ApiError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let emcee = Emcee::from_request(&request, &mut Payload::None).await?;
            Ok(Self { emcee, bytes: read(&request, payload, MAX_EMCEE_BODY_BYTES).await? })
        })
    }
}

/// Reads a body to its end. One that says that it is too big is not begun.
async fn read(request: &HttpRequest, mut payload: Payload, max_bytes: usize) -> ApiResult<web::BytesMut> {
    let too_big = || Invalid::new("body", format!("must be at most {max_bytes} bytes"));
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > max_bytes) {
        return Err(too_big().into());
    }
    let mut bytes = web::BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| Invalid::new("body", format!("could not be read: {error}")))?;
        if bytes.len() + chunk.len() > max_bytes {
            return Err(too_big().into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Parses JSON.
///
/// # Errors
/// The text is not valid JSON or not a `T`. The error names the field as the sender wrote it.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Invalid> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    // serde does not check the strings of fields that it skips
    let text = std::str::from_utf8(bytes).map_err(|error| Invalid::new("body", error.to_string()))?;
    // serde would accept a list as the fields of a struct
    if text.trim_start().starts_with('[') {
        return Err(Invalid::new("body", "must be an object"));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let detail = error.inner().to_string();
        // serde names a missing or unknown field only in its text
        let named = detail.split('`').nth(1).filter(|_| detail.contains("field `"));
        let field = match (path.as_str(), named) {
            (".", Some(named)) => named.to_owned(),
            (".", None) => "body".to_owned(),
            (path, Some(named)) if !path.ends_with(named) => format!("{path}.{named}"),
            (path, _) => path.to_owned(),
        };
        Invalid::new(field, detail)
    })?;
    json.end().map_err(|error| Invalid::new("body", error.to_string()))?;
    Ok(value)
}

/// Reads the column `name` of a CSV text, with or without a BOM, with any line ends, with quotes as in RFC 4180.
///
/// # Errors
/// The text is not valid CSV, there is no such column, or a row has no name.
pub fn names_of_csv(bytes: &[u8]) -> Result<Vec<String>, Invalid> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut csv = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let malformed = |error: csv::Error| Invalid::new("body", error.to_string());
    let headers = csv.headers().map_err(malformed)?;
    let column = headers.iter().position(|header| header.eq_ignore_ascii_case("name"));
    let column = column.ok_or_else(|| Invalid::new("name", "the first line must have a column \"name\""))?;
    let mut names = vec![];
    for row in csv.records() {
        let row = row.map_err(malformed)?;
        match row.get(column) {
            Some(name) if !name.is_empty() => names.push(name.to_owned()),
            _ if row.iter().all(str::is_empty) => {}
            _ => {
                let line = row.position().map_or(0, csv::Position::line);
                return Err(Invalid::new("name", format!("is missing in line {line}")));
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz;
    use crate::wire::http::{DeadlineBody, OpenBody, RoomBody};

    #[test]
    fn fuzz_csv() {
        fuzz::run("csv", 20_000, |bytes| match names_of_csv(bytes) {
            Ok(names) => {
                assert!(names.iter().all(|name| !name.is_empty() && name.trim() == name), "{names:?}");
                // a spreadsheet that saves them again gives the same names
                let mut csv = csv::Writer::from_writer(vec![]);
                csv.write_record(["name"]).unwrap();
                names.iter().for_each(|name| csv.write_record([name]).unwrap());
                assert_eq!(names_of_csv(&csv.into_inner().unwrap()).unwrap(), names);
                format!("{} names", names.len().min(9))
            }
            Err(invalid) => fuzz::shape(&invalid.to_string()),
        });
    }

    #[test]
    fn an_error_names_the_field() {
        for (body, field) in [
            (r#"{"title":"x","rounds":[{"title":"y","choices":[],"seconds":-1}]}"#, "rounds[0].seconds"),
            (r#"{"title":"x","rounds":[{"title":"y","choices":[],"secnds":1}]}"#, "rounds[0].secnds"),
            (r#"{"rounds":[]}"#, "title"),
            (r#"{"title":1,"rounds":[]}"#, "title"),
            (r#"{"title":"#, "title"),
            ("nonsense", "body"),
            ("{} {}", "title"),
        ] {
            assert_eq!(parse::<RoomBody>(body.as_bytes()).unwrap_err().field, field, "{body}");
        }
        assert_eq!(parse::<DeadlineBody>(b"{}").unwrap_err().field, "closes_at");
        assert_eq!(parse::<DeadlineBody>(br#"{"closes_at":null}"#).unwrap().closes_at, None);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_even_in_unknown_fields() {
        assert_eq!(parse::<OpenBody>(b"{\"name\":\"\xFF\"}").unwrap_err().field, "body");
    }

    #[test]
    fn an_empty_body_is_an_empty_object() {
        assert!(parse::<OpenBody>(b"").is_ok());
    }

    #[test]
    fn csv_is_read_as_spreadsheets_write_it() {
        let text = "\u{FEFF}id,Name\r\n1,\"Müller, Anna\"\r\n\r\n2,Bela\n3,\"O\"\"Neill\"\r\n";
        assert_eq!(names_of_csv(text.as_bytes()).unwrap(), ["Müller, Anna", "Bela", "O\"Neill"]);
        assert_eq!(names_of_csv(b"id,who\n1,Anna\n").unwrap_err().field, "name");
        assert!(names_of_csv(b"id,name\n1\n").is_err());
        assert!(names_of_csv(b"name\n\xFF\xFE\n").is_err());
    }
}
