//! Every place where a client finds a URL that it will follow: one entry per place.
//!
//! Sources: git-lfs (2026-08), huggingface_hub 2.4.0, xet-core (2026-08). Reviewed and left out: responses about locks (`locking/api.go`:
//! no URLs), `preupload` (`_commit_api.py`: modes and hashes only), `documentation_url` of LFS errors (shown, not followed), dumb-HTTP
//! alternates and bundle URIs of git (not used by these hosts), OAuth's `verification_uri` (for a browser). No request of these clients
//! contains a URL in its body: verify sends oid and size, the completion of a multipart upload sends oid and ETags.

use std::borrow::Cow;

use hyper::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};

use super::{
    Findings, Mapping,
    fields::{self, Edit, MapUrl},
    json::{NotJson, PathStep, Paths, splice},
    mapping::UrlUse,
    url::percent_encoded,
};

/// One place of URLs.
#[derive(Debug)]
pub(crate) struct Rewrite {
    /// The name in the log.
    pub code: &'static str,
    /// Its location in the response.
    pub place: UrlLocation,
    /// The client that follows it, and the source of that fact.
    #[expect(
        dead_code,
        reason = "the source of each row, for whoever changes the table"
    )]
    pub reader: &'static str,
}

/// The location of URLs in a response.
#[derive(Debug)]
pub(crate) enum UrlLocation {
    /// In a header field.
    Field(&'static str, HeaderSyntax),
    /// In the JSON response to certain requests.
    Json {
        /// True for the method and path (without query) of such a request.
        matches: fn(&Method, &str) -> bool,
        /// The paths in the document.
        at: Paths,
    },
}

/// The syntax of a header field with URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderSyntax {
    /// The field is a URL; with a redirect's status, the client follows it.
    Redirect,
    /// The field is a URL.
    Url,
    /// RFC 8288.
    Link,
    /// RFC 9110, section 11.6.1.
    Challenge,
    /// RFC 6265.
    Cookie,
}

/// The table.
pub(crate) static REWRITES: &[Rewrite] = &[
    Rewrite {
        code: "location",
        place: UrlLocation::Field("location", HeaderSyntax::Redirect),
        reader: "all of them; git-lfs: lfshttp/client.go, DoWithRedirect",
    },
    Rewrite {
        code: "content-location",
        place: UrlLocation::Field("content-location", HeaderSyntax::Url),
        reader: "RFC 9110, section 8.7; none of these clients today",
    },
    Rewrite {
        code: "link",
        place: UrlLocation::Field("link", HeaderSyntax::Link),
        reader: "huggingface_hub: utils/_pagination.py (next), utils/_xet.py (xet-auth)",
    },
    Rewrite {
        code: "set-cookie",
        place: UrlLocation::Field("set-cookie", HeaderSyntax::Cookie),
        reader: "git with http.cookieFile, git-lfs with the same key",
    },
    Rewrite {
        code: "www-authenticate",
        place: UrlLocation::Field("www-authenticate", HeaderSyntax::Challenge),
        reader: "credential helpers: git passes it on as wwwauth[]",
    },
    Rewrite {
        code: "lfs-authenticate",
        place: UrlLocation::Field("lfs-authenticate", HeaderSyntax::Challenge),
        reader: "git-lfs: lfsapi/auth.go",
    },
    Rewrite {
        code: "xet-cas-url",
        place: UrlLocation::Field("x-xet-cas-url", HeaderSyntax::Url),
        reader: "huggingface_hub: utils/_xet.py, parse_xet_connection_info_from_headers",
    },
    Rewrite {
        code: "xet-refresh-route",
        place: UrlLocation::Field("x-xet-refresh-route", HeaderSyntax::Url),
        reader: "huggingface_hub: utils/_xet.py, parse_xet_file_data_from_response",
    },
    Rewrite {
        code: "lfs-batch",
        place: UrlLocation::Json {
            matches: |method, path| *method == Method::POST && path.ends_with("/objects/batch"),
            at: &[
                &[
                    PathStep::Key("objects"),
                    PathStep::Item,
                    PathStep::Key("actions"),
                    PathStep::AnyKey,
                    PathStep::Key("href"),
                ],
                // The older name of `actions`, which git-lfs still reads (tq/transfer.go).
                &[
                    PathStep::Key("objects"),
                    PathStep::Item,
                    PathStep::Key("_links"),
                    PathStep::AnyKey,
                    PathStep::Key("href"),
                ],
                // The parts of a multipart upload to the Hub (huggingface_hub: lfs.py, cli/lfs.py).
                &[
                    PathStep::Key("objects"),
                    PathStep::Item,
                    PathStep::Key("actions"),
                    PathStep::AnyKey,
                    PathStep::Key("header"),
                    PathStep::NumericKey,
                ],
                // git-xet (xet-core: git_xet/src/app/xet_agent.rs).
                &[
                    PathStep::Key("objects"),
                    PathStep::Item,
                    PathStep::Key("actions"),
                    PathStep::AnyKey,
                    PathStep::Key("header"),
                    PathStep::Key("X-Xet-Cas-Url"),
                ],
            ],
        },
        reader: "git-lfs: tq/transfer.go, tq/verify.go; huggingface_hub: lfs.py",
    },
    Rewrite {
        code: "xet-token",
        place: UrlLocation::Json {
            matches: |method, path| {
                *method == Method::GET
                    && path
                        .split('/')
                        .any(|part| matches!(part, "xet-read-token" | "xet-write-token"))
            },
            at: &[&[PathStep::Key("casUrl")]],
        },
        reader: "hf_xet: xet_client/src/hub_client/types.rs, CasJWTInfo",
    },
    Rewrite {
        code: "xet-reconstruction",
        place: UrlLocation::Json {
            matches: |method, path| *method == Method::GET && is_reconstruction(path),
            at: &[
                &[
                    PathStep::Key("fetch_info"),
                    PathStep::AnyKey,
                    PathStep::Item,
                    PathStep::Key("url"),
                ],
                &[
                    PathStep::Key("xorbs"),
                    PathStep::AnyKey,
                    PathStep::Item,
                    PathStep::Key("url"),
                ],
            ],
        },
        reader: "hf_xet: xet_client/src/cas_types/mod.rs, QueryReconstructionResponse and its V2",
    },
    Rewrite {
        code: "xet-upload-grant",
        place: UrlLocation::Json {
            matches: |method, path| *method == Method::POST && path.starts_with("/v1/xorb-grants/"),
            at: &[&[PathStep::Key("url")]],
        },
        reader: "hf_xet 1.8: xet_client/README.md, Xorb uploads; XorbUploadGrant",
    },
    Rewrite {
        code: "hub-repository",
        place: UrlLocation::Json {
            matches: |method, path| *method == Method::POST && names_a_repository(path),
            at: &[
                &[PathStep::Key("url")],
                &[PathStep::Key("commitUrl")],
                &[PathStep::Key("pullRequestUrl")],
            ],
        },
        reader: "huggingface_hub: hf_api.py, RepoUrl and CommitInfo, which must begin with HF_ENDPOINT",
    },
];

fn is_reconstruction(path: &str) -> bool {
    let mut parts = path.trim_start_matches('/').split('/');
    parts
        .next()
        .is_some_and(|version| matches!(version, "v1" | "v2"))
        && parts.next() == Some("reconstructions")
}

/// `/api/repos/create`, `/api/models/…/duplicate`, `/api/models/…/commit/REVISION`, `/api/buckets/…`.
fn names_a_repository(path: &str) -> bool {
    let Some(call) = path.strip_prefix("/api/") else {
        return false;
    };
    let mut parts = call.split('/');
    match parts.next() {
        Some("repos") => parts.next() == Some("create"),
        Some("buckets") => true,
        Some("models" | "datasets" | "spaces" | "kernels") => {
            call.ends_with("/duplicate") || parts.any(|part| part == "commit")
        }
        _ => false,
    }
}

/// Maps the URLs of a response's header fields.
pub(crate) fn rewrite_head(
    mapping: &Mapping,
    status: StatusCode,
    headers: &mut HeaderMap,
) -> Findings {
    let mut findings = Findings::default();
    for rewrite in REWRITES {
        let UrlLocation::Field(name, syntax) = &rewrite.place else {
            continue;
        };
        let name = HeaderName::from_static(name);
        let values: Vec<HeaderValue> = headers.get_all(&name).iter().cloned().collect();
        headers.remove(&name);
        for value in values {
            let text = match syntax {
                HeaderSyntax::Redirect | HeaderSyntax::Url | HeaderSyntax::Link => url_text(&value),
                HeaderSyntax::Challenge | HeaderSyntax::Cookie => {
                    value.as_bytes().iter().copied().map(char::from).collect()
                }
            };
            let edit = edit_field(*syntax, &text, status, mapping, &mut findings);
            match edit {
                Edit::Keep => headers.append(&name, value),
                Edit::Replace(text) => headers.append(&name, header_value(&text).unwrap_or(value)),
                Edit::Remove => continue,
            };
        }
    }
    findings
}

/// A field value as text. Some origins write paths in raw UTF-8, and clients accept that.
pub(crate) fn url_text(value: &HeaderValue) -> Cow<'_, str> {
    match value.to_str() {
        Ok(text) => text.into(),
        Err(_) => percent_encoded(value.as_bytes()).into(),
    }
}

/// Text as a field value; each non-ASCII character is written as the single byte that it was read from.
fn header_value(text: &str) -> Option<HeaderValue> {
    let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
    HeaderValue::from_bytes(&bytes.ok()?).ok()
}

fn edit_field(
    syntax: HeaderSyntax,
    text: &str,
    status: StatusCode,
    mapping: &Mapping,
    findings: &mut Findings,
) -> Edit {
    let usage = match syntax {
        HeaderSyntax::Redirect if status.is_redirection() => UrlUse::Redirect,
        HeaderSyntax::Challenge => UrlUse::Realm,
        HeaderSyntax::Redirect | HeaderSyntax::Url | HeaderSyntax::Link | HeaderSyntax::Cookie => {
            UrlUse::Reference
        }
    };
    let mut map = |url: &str| findings.map(mapping, url, usage);
    let map: &mut MapUrl<'_> = &mut map;
    match syntax {
        HeaderSyntax::Redirect | HeaderSyntax::Url => fields::url(text, map),
        HeaderSyntax::Link => fields::link(text, map),
        HeaderSyntax::Challenge => fields::challenge(text, map),
        HeaderSyntax::Cookie => fields::cookie(text, mapping),
    }
}

/// The entry for the JSON response to a request, if there is one.
pub(crate) fn for_body(method: &Method, path: &str) -> Option<&'static Rewrite> {
    REWRITES.iter().find(|rewrite| match &rewrite.place {
        UrlLocation::Json { matches, .. } => matches(method, path),
        UrlLocation::Field(..) => false,
    })
}

/// True where the response's type is JSON: `application/json`, or a type with the suffix `+json` (RFC 6839).
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let media = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|media| media.trim().to_ascii_lowercase());
    media.is_some_and(|media| media == "application/json" || media.ends_with("+json"))
}

impl Rewrite {
    /// Maps the URLs of a body: the new body, `None` where nothing changed, and the findings.
    ///
    /// Fails where the body is not JSON.
    pub(crate) fn rewrite_body(
        &self,
        mapping: &Mapping,
        body: &[u8],
    ) -> Result<(Option<Vec<u8>>, Findings), NotJson> {
        let mut findings = Findings::default();
        let UrlLocation::Json { at, .. } = &self.place else {
            return Ok((None, findings));
        };
        let body = splice(body, at, &mut |url| {
            findings.map(mapping, url, UrlUse::Link)
        })?;
        Ok((body, findings))
    }
}

#[cfg(test)]
mod tests;
