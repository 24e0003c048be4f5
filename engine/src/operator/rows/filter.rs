//! Filters of rows by a column and a literal, and the chain that they make.

use crate::base::row::{Row, RowLayout, at, float_at, integer_at, is_float, is_integer, text_of};
use crate::operator::chain::Chain;
use crate::operator::rows::{BadColumn, find};
use crate::{Dictionary, FieldKind, Timestamp};
use std::cmp::Ordering;
use std::sync::Arc;

/// How a column is compared with a literal.
///
/// ```
/// use pelton::rows::{Comparison, VecRows};
/// use pelton::{Job, Layout};
///
/// let layout = Layout::parse("16/8 time_ns:i64@0* price:f64@8")?;
/// let cheap = Job::new("prices").rows("prices", VecRows::new(layout, Vec::new(), 64));
/// let cheap = cheap.filter("price", Comparison::LessOrEqual, 9.5).filter("price", Comparison::Greater, 0);
/// # Ok::<(), pelton::LayoutError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// Whether it holds for a value that compares so with the literal; a NaN does not compare.
    #[inline(always)]
    const fn holds(self, order: Option<Ordering>) -> bool {
        let Some(order) = order else { return matches!(self, Self::NotEqual) };
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// A value that a column is compared with.
///
/// ```
/// use pelton::rows::Literal;
///
/// assert_eq!(Literal::from(7u32), Literal::Integer(7));
/// assert_eq!(Literal::from("BAC"), Literal::Text("BAC".into()));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// For columns of integers, times and floats; of truth values 1 for true and 0 for false.
    Integer(i128),
    /// For columns of floats.
    Float(f64),
    /// For columns of symbols and inline text.
    Text(String),
}

macro_rules! literals {
    ($($type:ty => |$value:ident| $literal:expr,)*) => {$(
        impl From<$type> for Literal {
            fn from($value: $type) -> Self {
                $literal
            }
        }
    )*};
}

literals! {
    bool => |value| Self::Integer(value.into()),
    i32 => |value| Self::Integer(value.into()),
    u32 => |value| Self::Integer(value.into()),
    i64 => |value| Self::Integer(value.into()),
    u64 => |value| Self::Integer(value.into()),
    i128 => |value| Self::Integer(value),
    f64 => |value| Self::Float(value),
    Timestamp => |value| Self::Integer(value.as_nanos().into()),
    &str => |value| Self::Text(value.to_owned()),
    String => |value| Self::Text(value),
}

/// A comparison of a column with a literal.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    offset: usize,
    comparison: Comparison,
    operands: Operands,
}

#[derive(Debug, Clone)]
enum Operands {
    Integers(FieldKind, i128),
    Floats(FieldKind, f64),
    /// The job's id of the literal.
    Symbols(u32),
    /// The size of the column, and the literal.
    Texts(usize, Box<[u8]>),
    /// Whether a byte is not zero.
    Bools(bool),
}

impl Condition {
    /// A condition on a column. The text that a symbol is compared with becomes one of the job's.
    pub(crate) fn new(
        rows: &RowLayout,
        column: &str,
        comparison: Comparison,
        literal: &Literal,
        symbols: &Dictionary,
    ) -> Result<Self, BadColumn> {
        let found = find(rows, column)?;
        let bad = |reason: String| BadColumn::new(column, reason);
        let kind = found.kind;
        let operands = match (kind, literal) {
            (kind, Literal::Integer(value)) if is_integer(kind) => Operands::Integers(kind, *value),
            (kind, Literal::Integer(value)) if is_float(kind) => Operands::Floats(kind, *value as f64),
            (kind, Literal::Float(value)) if is_float(kind) => Operands::Floats(kind, *value),
            (FieldKind::Text(size), Literal::Text(text)) => Operands::Texts(size as usize, text.as_bytes().into()),
            (FieldKind::Symbol, Literal::Text(text)) => {
                if !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
                    return Err(bad("symbols are compared for equality only".to_owned()));
                }
                let symbol = symbols.intern(text).map_err(|error| bad(error.to_string()))?;
                Operands::Symbols(symbol.id())
            }
            (FieldKind::Bool, &Literal::Integer(value @ (0 | 1))) => Operands::Bools(value == 1),
            (kind, literal) => return Err(bad(format!("it is {kind} and does not compare with {literal:?}"))),
        };
        Ok(Self { offset: found.offset, comparison, operands })
    }

    #[inline]
    fn holds(&self, row: &[u8]) -> bool {
        let order = match &self.operands {
            Operands::Integers(kind, value) => Some(integer_at(row, self.offset, *kind).cmp(value)),
            Operands::Floats(kind, value) => float_at(row, self.offset, *kind).partial_cmp(value),
            Operands::Symbols(id) => Some(u32::from_le_bytes(at(row, self.offset)).cmp(id)),
            Operands::Bools(value) => Some((row[self.offset] != 0).cmp(value)),
            Operands::Texts(size, text) => Some(text_of(&row[self.offset..self.offset + size]).cmp(text)),
        };
        self.comparison.holds(order)
    }
}

/// The chain of rows of one class: those for which all conditions hold.
///
/// It is one type for any number of filters, so that what is behind it is compiled once.
#[derive(Debug, Clone)]
pub(crate) struct RowChain<const WORDS: usize>(Arc<[Condition]>);

impl<const WORDS: usize> RowChain<WORDS> {
    pub(crate) fn all() -> Self {
        Self(Arc::new([]))
    }

    /// With one condition more.
    pub(crate) fn and(&self, condition: Condition) -> Self {
        Self(self.0.iter().cloned().chain([condition]).collect())
    }
}

impl<const WORDS: usize> Chain for RowChain<WORDS> {
    type In = Row<WORDS>;
    type Out = Row<WORDS>;

    #[inline(always)]
    fn each(&self, row: &Row<WORDS>, out: &mut impl FnMut(Row<WORDS>)) {
        if self.is_selected(row) {
            out(*row);
        }
    }

    fn is_identity(&self) -> bool {
        self.0.is_empty()
    }

    fn fans_out(&self) -> bool {
        false
    }

    const SELECTS: bool = true;
    const BEGINS_WITH_FILTER: bool = true;

    #[inline(always)]
    fn is_selected(&self, row: &Row<WORDS>) -> bool {
        self.0.iter().all(|condition| condition.holds(row.bytes()))
    }

    #[inline(always)]
    fn each_selected(&self, row: &Row<WORDS>, out: &mut impl FnMut(Row<WORDS>)) {
        out(*row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Layout;
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};

    #[test]
    fn every_comparison_holds_where_it_should() {
        let layout = "26/1 count:u64@0 change:i8@8 rate:f32@9 unit:text4@13 wide:f64@17 open:bool@25";
        let rows = RowLayout::new(Layout::parse(layout).unwrap()).unwrap();
        let record = [
            &u64::MAX.to_le_bytes()[..],
            &(-3i8).to_le_bytes(),
            &0.5f32.to_le_bytes(),
            b"EUR\0",
            &f64::NAN.to_le_bytes(),
            // As a damaged file has it: true.
            &[9],
        ];
        let row: Row<4> = rows.row(&record.concat());
        let check = |column: &str, literal: Literal, holding: &[Comparison]| {
            for comparison in [Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual] {
                let condition = Condition::new(&rows, column, comparison, &literal, &Dictionary::default()).unwrap();
                let chain = RowChain::<4>::all().and(condition);
                let found = (chain.is_selected(&row), comparison);
                assert_eq!(found, (holding.contains(&comparison), comparison), "{column} {literal:?}");
            }
        };
        check("count", u64::MAX.into(), &[Equal, LessOrEqual, GreaterOrEqual]);
        check("count", i128::MAX.into(), &[NotEqual, Less, LessOrEqual]);
        check("change", (-4).into(), &[NotEqual, Greater, GreaterOrEqual]);
        check("change", 3.into(), &[NotEqual, Less, LessOrEqual]);
        check("rate", 0.5.into(), &[Equal, LessOrEqual, GreaterOrEqual]);
        check("rate", 1.into(), &[NotEqual, Less, LessOrEqual]);
        check("unit", "EUR".into(), &[Equal, LessOrEqual, GreaterOrEqual]);
        check("unit", "EU".into(), &[NotEqual, Greater, GreaterOrEqual]);
        check("unit", "EURO".into(), &[NotEqual, Less, LessOrEqual]);
        check("wide", 0.into(), &[NotEqual]);
        check("open", true.into(), &[Equal, LessOrEqual, GreaterOrEqual]);
        check("open", false.into(), &[NotEqual, Greater, GreaterOrEqual]);
    }

    #[test]
    fn what_may_be_missing_is_not_compared() {
        let rows = RowLayout::new(Layout::parse("10/1 open:bool@0 price?:present@1 price:i64@2").unwrap()).unwrap();
        let symbols = Dictionary::default();
        for (column, literal, reason) in [
            ("price", Literal::Integer(0), "may be missing"),
            ("price?", Literal::Integer(0), "present"),
            ("open", Literal::Integer(2), "does not compare"),
        ] {
            let error = Condition::new(&rows, column, Equal, &literal, &symbols).unwrap_err();
            assert!(error.reason.contains(reason), "{error:?}");
        }
    }

    #[test]
    fn symbols_are_equal_by_text_and_have_no_order() {
        let rows = RowLayout::new(Layout::parse("4/4 symbol:symbol@0").unwrap()).unwrap();
        let symbols = Dictionary::default();
        symbols.intern("A").unwrap();
        let row: Row<2> = rows.row(&1u32.to_le_bytes());
        let holds = |text: &str| {
            let condition = Condition::new(&rows, "symbol", Equal, &text.into(), &symbols).unwrap();
            RowChain::<2>::all().and(condition).is_selected(&row)
        };
        assert!(!holds("A") && holds("B"));
        let error = Condition::new(&rows, "symbol", Less, &"A".into(), &symbols).unwrap_err();
        assert!(error.reason.contains("equality"), "{error:?}");
    }
}
