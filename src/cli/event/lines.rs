//! Where in an event file something stands, and how to say it.

use toml::de::DeTable;

/// The line, from 1, of a byte of the text.
pub fn line_at(text: &str, byte: usize) -> usize {
    text.as_bytes()[..byte.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The line of a field that the rules name, as in `rounds[1].choices[0].color`, or of the nearest that holds it.
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

/// A field as people say it: `color of choice a of round 2`.
pub fn spoken(field: &str) -> String {
    let mut words: Vec<_> = steps(field).map(|(name, index)| step(name, index)).collect();
    words.reverse();
    words.join(" of ")
}

/// A field as a path for people: `round 2, choice a, color`.
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

/// Names and indexes of a field's path.
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
    fn a_field_is_found_in_its_line_or_near_it() {
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
    fn a_field_is_said_as_people_count() {
        assert_eq!(spoken("rounds[1].choices[0].color"), "color of choice a of round 2");
        assert_eq!(path("rounds[1].choices[0].color"), "round 2, choice a, color");
        assert_eq!(spoken("title"), "title");
    }
}
