//! What an LFS batch response makes a client send, and where (git-lfs: docs/api/batch.md, "Successful Responses").

use super::json::{JsonWalker, PathStep, Paths, unquote};

/// One action of a response: its URLs, and the header fields that it names for them.
///
/// A valid response has one URL for each action; of two members of one name, the client decides which one it reads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LfsAction {
    pub(crate) urls: Vec<String>,
    pub(crate) fields: Vec<(String, String)>,
}

macro_rules! paths {
    ($($group:literal: $($last:expr),+;)*) => {
        &[$(&[PathStep::Key("objects"), PathStep::Item, PathStep::Key($group), PathStep::AnyKey, $($last),+]),*]
    };
}

const PATHS: Paths = paths! {
    "actions": PathStep::Key("href");
    "_links": PathStep::Key("href");
    "actions": PathStep::Key("header"), PathStep::AnyKey;
    "_links": PathStep::Key("header"), PathStep::AnyKey;
};

/// The depth of an action: below the document, its list, an object, and the object's actions.
const ACTION_DEPTH: usize = 4;

/// The actions of a response; none where it is no JSON. Whatever else the response has, in whatever type, is ignored: some servers write
/// `"verify": null`, or a list for an empty object.
pub(crate) fn actions(body: &[u8]) -> Vec<LfsAction> {
    let mut actions: Vec<LfsAction> = Vec::new();
    let mut begun = None;
    let Ok(mut walk) = JsonWalker::over(body, PATHS) else {
        return actions;
    };
    while let Ok(Some((_, token))) = walk.next_string() {
        let (depth, start) = walk.container(ACTION_DEPTH);
        if start != begun {
            begun = start;
            actions.push(LfsAction::default());
        }
        let (Some(action), Some(value)) = (actions.last_mut(), unquote(token)) else {
            continue;
        };
        match depth > ACTION_DEPTH + 1 {
            true => {
                let name = walk.member().into_owned();
                action.fields.push((name, value.into_owned()));
            }
            false => action.urls.push(value.into_owned()),
        }
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_has_its_own_urls_and_fields() {
        let action = |url: &str, fields: &[(&str, &str)]| LfsAction {
            urls: vec![url.to_owned()],
            fields: fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        let body = r#"{"n":1e999,"objects":[null,3,{"actions":[]},{"actions":null,"_links":"x"},{"actions":{
            "upload":{"header":{"A":"1","n":2,"l":[]},"href":"https:\/\/b.test/o"},"verify":null,
            "x":{"href":null,"header":[]}}},{"_links":{"Download":{"HREF":"https://c.test/","header":{"B":"2"}}}}]}"#;
        let expected = [
            action("https://b.test/o", &[("A", "1")]),
            action("https://c.test/", &[("B", "2")]),
        ];
        assert_eq!(actions(body.as_bytes()), expected);
        assert_eq!(actions(b"{\"objects\":["), []);
    }
}
