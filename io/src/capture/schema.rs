//! Layouts as captures hold them: written into the header and proven when read back.

use super::format::RECORD_BYTES_MAX;
use pelton::Layout;

/// The most fields of a record.
const FIELDS_MAX: usize = 512;
/// The byte that stands for "no decimals" in the header.
pub(super) const NO_DECIMALS: u8 = u8::MAX;

/// Proves that captures can hold `layout`: dense fields, one of them the event time.
pub(super) fn check(layout: &Layout) -> Result<(), String> {
    layout.check().map_err(|error| error.to_string())?;
    if layout.size() > RECORD_BYTES_MAX {
        return Err(format!("a record has 1 to {RECORD_BYTES_MAX} bytes, not {}", layout.size()));
    }
    if layout.fields().len() > FIELDS_MAX {
        return Err(format!("a record has 1 to {FIELDS_MAX} fields, not {}", layout.fields().len()));
    }
    if let Some(field) = layout.fields().iter().find(|field| field.decimals == Some(NO_DECIMALS)) {
        return Err(format!("field `{}` has more than {} decimals", field.name, NO_DECIMALS - 1));
    }
    match layout.time_field() {
        Some(_) => Ok(()),
        None => Err("one field is the event time, not 0".into()),
    }
}

/// The layout that [`Layout::schema`] wrote. `decimals` has a byte for each field.
pub(super) fn parse(schema: &str, name: &str, decimals: &[u8]) -> Result<Layout, String> {
    let layout = Layout::parse(schema).map_err(|error| error.to_string())?;
    let mut fields = layout.fields().to_vec();
    if decimals.len() != fields.len() {
        return Err(format!("{} fields, but decimals of {}", fields.len(), decimals.len()));
    }
    for (field, &digits) in fields.iter_mut().zip(decimals) {
        field.decimals = Some(digits).filter(|&digits| digits != NO_DECIMALS);
    }
    let layout = Layout::new(name.to_owned(), layout.size(), layout.align(), fields);
    check(&layout)?;
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
            ("8/8", "at least one field"),
            ("x/8 t:i64@0*", "not a number"),
            ("0/8 t:i64@0*", "no gaps"),
            ("99999999992/8 t:i64@0*", "no gaps"),
            ("8/0 t:i64@0*", "alignment"),
            ("8/3 t:i64@0*", "alignment"),
            ("8/8 t:i64@0", "event time"),
            ("8/4 t:i32@0* u:i32@4", "event time"),
            ("16/8 t:i64@0* u:i64@8*", "event time"),
            ("16/8 t:i64@0* t:i64@8", "two fields"),
            ("16/8 t:i64@0* u:i64@4", "overlaps"),
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

    #[test]
    fn records_too_large_for_captures_are_refused() {
        let wide = (0..17).map(|i| format!(" f{i}:text4096@{}", 8 + 4096 * i)).collect::<String>();
        let many = (0..512).map(|i| format!(" f{i}:u8@{}", 8 + i)).collect::<String>();
        for (schema, reason) in [
            (format!("{}/8 t:i64@0*{wide}", 8 + 17 * 4096), "1 to 65536 bytes"),
            (format!("520/8 t:i64@0*{many}"), "1 to 512 fields"),
        ] {
            let error = parse(&schema, "", &vec![NO_DECIMALS; schema.split(' ').count() - 1]).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
