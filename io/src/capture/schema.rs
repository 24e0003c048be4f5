//! Layouts as captures hold them: written into the header and proven when read back.

use super::format::RECORD_BYTES_MAX;
use pelton::{Field, FieldKind, Layout};
use std::borrow::Cow;
use std::collections::HashSet;

/// The most fields of a record.
const FIELDS_MAX: usize = 512;
/// The byte that stands for "no decimals" in the header.
pub(super) const NO_DECIMALS: u8 = u8::MAX;

/// Proves that captures can hold `layout`: dense fields, one of them the event time.
pub(super) fn check(layout: &Layout) -> Result<(), String> {
    let (size, align) = (layout.size(), layout.align());
    if size == 0 || size > RECORD_BYTES_MAX {
        return Err(format!("a record has 1 to {RECORD_BYTES_MAX} bytes, not {size}"));
    }
    if !align.is_power_of_two() || align > 64 || !size.is_multiple_of(align) {
        return Err(format!("an alignment of {align} does not suit records of {size} bytes"));
    }
    if layout.fields().is_empty() || layout.fields().len() > FIELDS_MAX {
        return Err(format!("a record has 1 to {FIELDS_MAX} fields, not {}", layout.fields().len()));
    }
    let mut names = HashSet::new();
    let mut end = 0usize;
    for field in layout.fields() {
        let name = &*field.name;
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control() || ":@*".contains(c)) {
            return Err(format!("{name:?} is not a name of a field"));
        }
        if !names.insert(name) {
            return Err(format!("two fields are named `{name}`"));
        }
        if field.offset != end {
            return Err(format!("field `{name}` is at byte {} and not at {end}: records have no gaps", field.offset));
        }
        end = end.saturating_add(field.kind.size());
        if field.time && !matches!(field.kind, FieldKind::I64 | FieldKind::Timestamp) {
            return Err(format!("the event time `{name}` is {} and not i64 or time", field.kind));
        }
        if field.decimals == Some(NO_DECIMALS) {
            return Err(format!("field `{name}` has more than {} decimals", NO_DECIMALS - 1));
        }
    }
    if end != size {
        return Err(format!("the fields end at byte {end} of {size}: records have no gaps"));
    }
    match layout.fields().iter().filter(|field| field.time).count() {
        1 => Ok(()),
        count => Err(format!("one field is the event time, not {count}")),
    }
}

/// The layout that [`Layout::schema`] wrote. `decimals` has a byte for each field.
pub(super) fn parse(schema: &str, name: &str, decimals: &[u8]) -> Result<Layout, String> {
    let mut words = schema.split(' ');
    let (size, align) = words.next().and_then(|word| word.split_once('/')).ok_or("it starts with size/align")?;
    let number = |text: &str| text.parse::<usize>().map_err(|_| format!("{text:?} is not a number"));
    let (size, align) = (number(size)?, number(align)?);
    let mut fields = Vec::new();
    for word in words {
        let bad = || format!("{word:?} is not name:type@offset");
        let (field, rest) = word.split_once(':').ok_or_else(bad)?;
        let (kind, offset) = rest.split_once('@').ok_or_else(bad)?;
        let (offset, time) = offset.strip_suffix('*').map_or((offset, false), |offset| (offset, true));
        let decimals = decimals.get(fields.len()).copied().filter(|&digits| digits != NO_DECIMALS);
        fields.push(Field {
            name: Cow::Owned(field.to_owned()),
            kind: FieldKind::parse(kind).ok_or_else(|| format!("{kind:?} is not a type"))?,
            offset: number(offset)?,
            decimals,
            time,
        });
    }
    if decimals.len() != fields.len() {
        return Err(format!("{} fields, but decimals of {}", fields.len(), decimals.len()));
    }
    let layout = Layout::new(name.to_owned(), size, align, fields);
    check(&layout)?;
    // Two texts for one layout would be two fingerprints.
    if layout.schema() != schema {
        return Err("it is not written in the one way it can be".into());
    }
    Ok(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton::Record;

    #[test]
    fn a_schema_reads_back_as_the_layout_it_was_written_from() {
        let layout = crate::Trade::layout();
        let decimals = vec![NO_DECIMALS; layout.fields().len()];
        assert_eq!(parse(&layout.schema(), "Trade", &decimals), Ok(layout));
    }

    #[test]
    fn schemas_that_lie_are_refused_with_the_reason() {
        for (schema, reason) in [
            ("", "starts with"),
            ("8", "starts with"),
            ("8/8", "1 to 512 fields"),
            ("x/8 t:i64@0*", "not a number"),
            ("0/8 t:i64@0*", "1 to 65536 bytes"),
            ("99999999999/8 t:i64@0*", "1 to 65536 bytes"),
            ("8/0 t:i64@0*", "alignment"),
            ("8/3 t:i64@0*", "alignment"),
            ("8/8 t:i64@0", "event time"),
            ("8/4 t:i32@0* u:i32@4", "event time"),
            ("16/8 t:i64@0* u:i64@8*", "event time"),
            ("16/8 t:i64@0* t:i64@8", "two fields"),
            ("16/8 t:i64@0* u:i64@4", "no gaps"),
            ("16/8 t:i64@0*", "no gaps"),
            ("16/8 t:i64@0* u:string@8", "not a type"),
            ("16/8 t:i64@0*  u:i64@8", "name:type@offset"),
            ("08/8 t:i64@0*", "one way"),
            ("8/8 :i64@0*", "not a name"),
        ] {
            let fields = schema.split(' ').count().saturating_sub(1);
            let error = parse(schema, "", &vec![NO_DECIMALS; fields]).unwrap_err();
            assert!(error.contains(reason), "{schema}: {error}");
        }
    }
}
