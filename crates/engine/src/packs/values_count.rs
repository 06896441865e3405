//! Counting the keys and values of a YAML text as they are read, without keeping them: aliases make many of a few.

use std::cell::Cell;
use std::fmt;

use campanile_model::limits::PACK_VALUES_MAX;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor};

/// How the error of a text with too many of them begins.
pub(super) const TOO_MANY: &str = "too many values";

/// Passes over the text once.
///
/// # Errors
/// [`TOO_MANY`] with the place of the value that is one too many; the parser's errors.
pub(super) fn check(text: &str) -> Result<(), serde_yaml_ng::Error> {
    let count = Cell::new(0);
    serde_yaml_ng::Deserializer::from_str(text).deserialize_any(Count(&count))
}

#[derive(Clone, Copy)]
struct Count<'a>(&'a Cell<usize>);

impl Count<'_> {
    fn one<E: de::Error>(self) -> Result<(), E> {
        self.0.set(self.0.get() + 1);
        if self.0.get() > PACK_VALUES_MAX { Err(E::custom(TOO_MANY)) } else { Ok(()) }
    }
}

impl<'de> de::DeserializeSeed<'de> for Count<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Count<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: de::Error>(self, _value: bool) -> Result<(), E> {
        self.one()
    }

    fn visit_i64<E: de::Error>(self, _value: i64) -> Result<(), E> {
        self.one()
    }

    fn visit_i128<E: de::Error>(self, _value: i128) -> Result<(), E> {
        self.one()
    }

    fn visit_u64<E: de::Error>(self, _value: u64) -> Result<(), E> {
        self.one()
    }

    fn visit_u128<E: de::Error>(self, _value: u128) -> Result<(), E> {
        self.one()
    }

    fn visit_f64<E: de::Error>(self, _value: f64) -> Result<(), E> {
        self.one()
    }

    fn visit_str<E: de::Error>(self, _value: &str) -> Result<(), E> {
        self.one()
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.one()
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        self.one()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.one()?;
        while members.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.one()?;
        while entries.next_entry_seed(self, self)?.is_some() {}
        Ok(())
    }

    /// A value with a tag.
    fn visit_enum<A: de::EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let (_tag, value) = tagged.variant::<IgnoredAny>()?;
        value.newtype_variant_seed(self)
    }
}
