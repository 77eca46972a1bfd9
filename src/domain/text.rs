//! Names, titles and labels: texts that people write and others read on a wall.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use super::Invalid;

/// Most graphemes of a voter's name.
pub const NAME_GRAPHEMES: usize = 24;
/// Most graphemes of a title.
pub const TITLE_GRAPHEMES: usize = 80;
/// Most graphemes of a choice's label.
pub const LABEL_GRAPHEMES: usize = 40;
/// Most bytes of one grapheme: piled-up combining marks would cover the lines above and below.
const MAX_GRAPHEME_BYTES: usize = 64;

/// Direction overrides, isolates and marks: they change the order in which a text is shown.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Trims the text, normalises it to NFC, and checks that it has `1..=max` graphemes without control or bidi characters.
fn tidy(text: &str, max: usize, field: &str) -> Result<String, Invalid> {
    let tidy: String = text.trim().nfc().collect();
    if tidy.chars().any(|c| c.is_control() || is_bidi(c) || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}')) {
        return Err(Invalid::new(field, "must not contain control or bidi characters"));
    }
    let graphemes = tidy.graphemes(true).count();
    if !(1..=max).contains(&graphemes) {
        return Err(Invalid::new(field, format!("must be 1 to {max} characters long, not {graphemes}")));
    }
    if tidy.graphemes(true).any(|g| g.len() > MAX_GRAPHEME_BYTES) {
        return Err(Invalid::new(field, "has too many marks on one character"));
    }
    if tidy.chars().all(is_invisible) {
        return Err(Invalid::new(field, "must have something to see"));
    }
    Ok(tidy)
}

fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{00AD}' | '\u{200B}'..='\u{200D}' | '\u{2060}'..='\u{2064}' | '\u{3164}' | '\u{FFA0}' | '\u{115F}' | '\u{1160}' | '\u{FE00}'..='\u{FE0F}')
}

macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident, $most:expr, $field:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Trims, normalises and checks a text from outside.
            ///
            /// # Errors
            /// The text is empty, too long, invisible, or has control or bidi characters.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                tidy(text, $most, $field).map(Self)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0
            }
        }
    };
}

bounded_text!(
    /// A voter's name, unique in its room by [`Name::folded`].
    Name, NAME_GRAPHEMES, "name"
);
bounded_text!(
    /// Title of a room or a round.
    Title, TITLE_GRAPHEMES, "title"
);
bounded_text!(
    /// The label of a choice.
    Label, LABEL_GRAPHEMES, "label"
);

impl Name {
    /// The form for comparing names: two names are the same if their folded forms are equal.
    pub fn folded(&self) -> String {
        folded(&self.0)
    }

    /// The `n`th variation of a name that is taken, as in `Anna 2`. The name is cut if it would be too long.
    pub fn numbered(&self, n: u32) -> Name {
        let suffix = format!(" {n}");
        let stem: String = self.0.graphemes(true).take(NAME_GRAPHEMES - suffix.len()).collect();
        Name(format!("{}{suffix}", stem.trim_end()))
    }
}

/// [`Name::folded`] for a part of a name, which need not be a valid name.
pub fn folded(text: &str) -> String {
    // upper case first, so that ß equals SS and ς equals Σ; NFC also before, because a part is not normalised yet
    let text: String = text.nfc().collect();
    text.to_uppercase().to_lowercase().nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz;

    #[test]
    fn fuzz_names() {
        fuzz::run("names", 20_000, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            match Name::parse(&text) {
                Ok(name) => {
                    let length = name.as_str().graphemes(true).count();
                    assert!((1..=NAME_GRAPHEMES).contains(&length), "{name:?}");
                    assert!(!name.as_str().chars().any(char::is_control), "{name:?}");
                    assert_eq!(Name::parse(name.as_str()).as_ref(), Ok(&name), "a stored name is read as it is");
                    assert_eq!(folded(&name.folded()), name.folded(), "{name:?}");
                    let other = name.numbered(2);
                    assert_eq!(Name::parse(other.as_str()).as_ref(), Ok(&other), "a suggested name can be taken");
                    format!("{length}")
                }
                Err(invalid) => fuzz::shape(&invalid.to_string()),
            }
        });
    }

    #[test]
    fn a_name_is_trimmed_and_normalised() {
        assert_eq!(Name::parse("  Zoe\u{308} ").unwrap().as_str(), "Zoë");
    }

    #[test]
    fn length_is_counted_in_graphemes() {
        let family = "👨‍👩‍👧‍👦";
        assert!(Name::parse(&family.repeat(24)).is_ok());
        assert!(Name::parse(&family.repeat(25)).is_err());
        assert!(Name::parse(&"x".repeat(25)).is_err());
    }

    #[test]
    fn invisible_and_misleading_names_are_refused() {
        for text in ["", "  ", "a\u{202E}b", "a\nb", "a\u{0}b", "\u{200B}", "\u{2066}x", "a\u{85}b", "a\u{2028}b"] {
            assert!(Name::parse(text).is_err(), "{text:?}");
        }
        let zalgo = format!("a{}", "\u{0301}".repeat(200));
        assert!(Name::parse(&zalgo).is_err());
    }

    #[test]
    fn names_are_compared_without_regard_to_case() {
        for (a, b) in [("ANNA", "anna"), ("STRASSE", "straße"), ("ΣΊΣΥΦΟΣ", "σίσυφος"), ("İ", "i\u{307}")]
        {
            assert_eq!(Name::parse(a).unwrap().folded(), Name::parse(b).unwrap().folded(), "{a} {b}");
        }
    }

    #[test]
    fn a_name_variation_is_a_valid_name() {
        for n in [2, 10, 99_999] {
            let name = Name::parse(&"ü".repeat(24)).unwrap().numbered(n);
            assert_eq!(Name::parse(name.as_str()).unwrap(), name);
        }
    }
}
