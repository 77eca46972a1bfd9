//! The line of a field in an event file, and the field's name for people.

use toml::de::DeTable;

/// The line of a byte of the text, from 1.
pub fn line_at(text: &str, byte: usize) -> usize {
    text.as_bytes()[..byte.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The line of a field such as `rounds[1].choices[0].color`; if the file does not have it, the line of the nearest field
/// around it. From 1.
pub fn line_of(text: &str, field: &str) -> usize {
    let Ok(document) = DeTable::parse(text) else { return 1 };
    let mut table = Some(document.get_ref());
    let mut found = None;
    for (name, index) in steps(field) {
        let key = if name == "rounds" { "round" } else { name };
        let Some((key, mut value)) = table.and_then(|table| table.iter().find(|(known, _)| known.get_ref() == key))
        else {
            break;
        };
        found = Some(key.span().start);
        if let Some(element) = index.and_then(|index| value.get_ref().as_array()?.get(index)) {
            value = element;
            found = Some(element.span().start);
        }
        table = value.get_ref().as_table();
    }
    line_at(text, found.unwrap_or_default())
}

/// A field in words: `color of choice a of round 2`.
pub fn in_words(field: &str) -> String {
    let mut words: Vec<_> = steps(field).map(|(name, index)| step(name, index)).collect();
    words.reverse();
    words.join(" of ")
}

/// A field as a path in words: `round 2, choice a, color`.
pub fn path(field: &str) -> String {
    steps(field).map(|(name, index)| step(name, index)).collect::<Vec<_>>().join(", ")
}

fn step(name: &str, index: Option<usize>) -> String {
    match (name, index) {
        ("rounds", Some(index)) => format!("round {}", index + 1),
        ("choices", Some(index)) => format!("choice {}", char::from(b'a' + (index % 26) as u8)),
        (name, _) => name.to_owned(),
    }
}

/// Names and indexes in the path of a field.
fn steps(field: &str) -> impl Iterator<Item = (&str, Option<usize>)> {
    field.split('.').map(|step| match step.strip_suffix(']').and_then(|step| step.split_once('[')) {
        Some((name, index)) => (name, index.parse().ok()),
        None => (step, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ref = \"x\"\n\n[[round]]\ntitle = \"one\"\n\n[[round]]\ntitle = \"two\"\nchoices = [\n  \"Red\",\n  \
                        { label = \"Blue\", color = \"blue\" },\n]\n";

    #[test]
    fn a_field_has_a_line_even_if_the_file_does_not_have_it() {
        for (field, line) in [
            ("ref", 1),
            ("rounds[0].title", 4),
            ("rounds[1].title", 7),
            ("rounds[1].choices", 8),
            ("rounds[1].choices[0].label", 9),
            ("rounds[1].choices[1].color", 10),
            ("rounds[1].seconds", 6),
            ("rounds", 3),
            ("title", 1),
        ] {
            assert_eq!(line_of(TEXT, field), line, "{field}");
        }
    }

    #[test]
    fn a_field_is_numbered_as_people_count() {
        assert_eq!(in_words("rounds[1].choices[0].color"), "color of choice a of round 2");
        assert_eq!(path("rounds[1].choices[0].color"), "round 2, choice a, color");
        assert_eq!(in_words("title"), "title");
    }
}
