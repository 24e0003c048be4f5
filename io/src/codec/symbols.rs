//! Symbols as decoders see them: one dictionary, a limit, and a shortcut for the name seen last.

use super::RejectReason;
use super::number::Problem;
use pelton::{Dictionary, DictionaryError, Symbol};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// There is no room for another symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SymbolsFull {
    /// The table's own limit.
    #[error("the input has more than {0} different symbols")]
    Limit(usize),
    /// The dictionary's limit.
    #[error(transparent)]
    Dictionary(#[from] DictionaryError),
}

/// The symbols of an input: texts become ids of a shared [`Dictionary`]. Clones share it.
///
/// ```
/// use pelton_io::codec::SymbolTable;
/// let mut symbols = SymbolTable::default();
/// let bac = symbols.intern("BAC").unwrap();
/// assert_eq!(symbols.dictionary().text(bac).as_deref(), Some("BAC"));
/// ```
#[derive(Debug, Clone)]
pub struct SymbolTable {
    dictionary: Arc<Dictionary>,
    max: usize,
    /// Ids given out, by any clone.
    known: Arc<AtomicUsize>,
    last: Option<(Box<str>, Symbol)>,
}

impl SymbolTable {
    /// The most symbols of an input by default.
    pub const MAX_DEFAULT: usize = 1 << 20;

    /// A table over `dictionary` that takes ids below `max`.
    pub fn new(dictionary: Arc<Dictionary>, max: usize) -> Self {
        let known = Arc::new(AtomicUsize::new(dictionary.texts().len()));
        Self { dictionary, max, known, last: None }
    }

    /// The dictionary with the texts.
    pub fn dictionary(&self) -> &Arc<Dictionary> {
        &self.dictionary
    }

    /// The number of symbols that this table and its clones know: ids below it have texts.
    pub fn known(&self) -> usize {
        self.known.load(Ordering::Relaxed)
    }

    /// The symbol of a text.
    ///
    /// # Errors
    /// When the text is too long or there are too many symbols.
    pub fn intern(&mut self, text: &str) -> Result<Symbol, SymbolsFull> {
        if let Some((last, symbol)) = &self.last
            && **last == *text
        {
            return Ok(*symbol);
        }
        let symbol = match self.dictionary.find(text) {
            Some(symbol) => symbol,
            None if self.known() >= self.max => return Err(SymbolsFull::Limit(self.max)),
            None => self.dictionary.intern(text)?,
        };
        self.known.fetch_max(symbol.id() as usize + 1, Ordering::Relaxed);
        self.last = Some((text.into(), symbol));
        Ok(symbol)
    }

    /// The symbol of a field's bytes; an empty one is refused.
    pub(crate) fn intern_field(&mut self, field: &'static str, bytes: &[u8]) -> Result<Symbol, RejectReason> {
        if bytes.is_empty() {
            return Err(RejectReason::field(field, Problem::Empty));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| RejectReason::field(field, Problem::NotUtf8))?;
        Ok(self.intern(text)?)
    }
}

impl Default for SymbolTable {
    fn default() -> Self {
        Self::new(Arc::new(Dictionary::default()), Self::MAX_DEFAULT)
    }
}
