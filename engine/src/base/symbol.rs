//! Symbols: short names as fixed-size ids, with a dictionary that knows their texts.

use bytemuck::{Pod, Zeroable};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// The id of a text in a [`Dictionary`]. Two symbols are comparable only within one dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct Symbol(u32);

impl Symbol {
    /// The symbol with this id.
    pub const fn from_id(id: u32) -> Self {
        Self(id)
    }

    /// The symbol's id.
    pub const fn id(self) -> u32 {
        self.0
    }
}

/// The most texts that a dictionary holds.
pub const SYMBOLS_MAX: usize = 1 << 24;
/// The longest text in a dictionary, in bytes.
pub const SYMBOL_BYTES_MAX: usize = 255;

/// A text was refused by a [`Dictionary`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DictionaryError {
    /// There is no room for another text.
    #[error("the dictionary is full: it holds {SYMBOLS_MAX} symbols")]
    Full,
    /// The text is too long.
    #[error("a symbol of {0} bytes is longer than {SYMBOL_BYTES_MAX}")]
    TooLong(usize),
}

/// The texts of a job's or a capture's symbols. Ids count up from 0 and are never taken back.
///
/// ```
/// use pelton::Dictionary;
///
/// let symbols = Dictionary::default();
/// let bac = symbols.intern("BAC")?;
/// assert_eq!(symbols.intern("BAC")?, bac);
/// assert_eq!(symbols.text(bac).as_deref(), Some("BAC"));
/// # Ok::<(), pelton::DictionaryError>(())
/// ```
#[derive(Default)]
pub struct Dictionary(RwLock<Texts>);

#[derive(Default)]
struct Texts {
    by_id: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, u32>,
}

impl Dictionary {
    /// The symbol of `text`, which gets the next id where it is new.
    ///
    /// # Errors
    /// When the text is too long or the dictionary full.
    pub fn intern(&self, text: &str) -> Result<Symbol, DictionaryError> {
        if let Some(symbol) = self.find(text) {
            return Ok(symbol);
        }
        if text.len() > SYMBOL_BYTES_MAX {
            return Err(DictionaryError::TooLong(text.len()));
        }
        let mut texts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(&id) = texts.ids.get(text) {
            return Ok(Symbol(id));
        }
        if texts.by_id.len() == SYMBOLS_MAX {
            return Err(DictionaryError::Full);
        }
        let id = texts.by_id.len() as u32;
        let text: Arc<str> = text.into();
        texts.by_id.push(text.clone());
        texts.ids.insert(text, id);
        Ok(Symbol(id))
    }

    /// The symbol of `text`, where it is known.
    pub fn find(&self, text: &str) -> Option<Symbol> {
        let texts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        texts.ids.get(text).map(|&id| Symbol(id))
    }

    /// The text of `symbol`, where it is known.
    pub fn text(&self, symbol: Symbol) -> Option<Arc<str>> {
        let texts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        texts.by_id.get(symbol.0 as usize).cloned()
    }

    /// Lends the text of `symbol`, where it is known.
    pub(crate) fn with_text<R>(&self, symbol: Symbol, body: impl FnOnce(Option<&str>) -> R) -> R {
        let texts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        body(texts.by_id.get(symbol.0 as usize).map(|text| &**text))
    }

    /// The number of texts.
    pub(crate) fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_id.len()
    }

    /// Texts in the order of their ids, from this one on.
    pub(crate) fn texts_from(&self, first: usize) -> Vec<Arc<str>> {
        let texts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        texts.by_id.get(first..).unwrap_or_default().to_vec()
    }

    /// All texts, in the order of their ids.
    pub fn texts(&self) -> Vec<Arc<str>> {
        self.texts_from(0)
    }
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.texts()).finish()
    }
}
