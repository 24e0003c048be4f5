//! The journal of a deployed job: which sources it has, and where they go on in it.

use crate::graph::components::Component;
use crate::graph::model::{Graph, Kind};
use crate::log::error::StateError;
use crate::log::journal::{Journal, JournalSource};
use crate::runtime::recovery::Recovered;
use crate::runtime::state::{FoundJournal, JournalKeep};
use crate::{Dictionary, Error, ShapeError};
use std::path::Path;
use std::sync::Arc;

/// The sources that are journaled: those that share an order with a feed.
fn sources(graph: &Graph, components: &[Component]) -> Vec<JournalSource> {
    let mut sources = Vec::new();
    for (group, component) in components.iter().filter(|component| component.schedule.is_none()).enumerate() {
        for node in &component.sources {
            let (node, layout) = (&graph.nodes[*node], &graph.nodes[*node].outputs[0].layout);
            sources.push(JournalSource {
                name: node.name.to_string(),
                group: group as u32,
                is_feed: matches!(&node.kind, Kind::Source(source) if !source.is_bounded()),
                event_bytes: layout.size() as u32,
                fingerprint: layout.fingerprint(),
                schema: layout.schema(),
            });
        }
    }
    sources
}

/// The number in the journal of the first source of a component.
pub(super) fn first_source(components: &[Component], component: &Component) -> u32 {
    let before = components.iter().take_while(|other| other.sources != component.sources);
    before.filter(|other| other.schedule.is_none()).map(|other| other.sources.len() as u32).sum()
}

/// Whether the journal is of the job's sources.
pub(super) fn check(found: &FoundJournal, graph: &Graph, components: &[Component]) -> Result<(), Error> {
    Ok(found.check(&sources(graph, components))?)
}

/// Opens the journal, and tells feeds what is durable of them.
pub(super) fn open(found: FoundJournal, graph: &Graph, components: &[Component]) -> Result<Arc<Journal>, Error> {
    let journal = Arc::new(found.open(&sources(graph, components))?);
    let live = components.iter().filter(|component| component.schedule.is_none());
    for (number, node) in live.flat_map(|component| &component.sources).enumerate() {
        if let Kind::Source(source) = &graph.nodes[*node].kind {
            source.go_on(journal.input(number))?;
        }
    }
    Ok(journal)
}

/// Whether so much of the journal can be kept and no more.
pub(super) fn check_keep(
    keep: JournalKeep,
    journal: &Journal,
    (job, graph): (&str, &Graph),
    components: &[Component],
) -> Result<(), Error> {
    if keep == JournalKeep::All {
        return Ok(());
    }
    let live = components.iter().filter(|component| component.schedule.is_none());
    for node in live.flat_map(|component| &component.sources).map(|node| &graph.nodes[*node]) {
        if let Kind::Source(source) = &node.kind
            && !source.is_bounded()
            && source.watermarks().is_generated
        {
            let found = format!("{keep:?} with watermarks of the program's own for `{}`", node.name);
            let (option, wanted) = ("journal_keep", "all, which these watermarks are shown again after a restart");
            let mistakes = vec![ShapeError::BadOption { option, found, wanted }];
            return Err(Error::Shape { job: job.to_owned(), mistakes });
        }
    }
    Ok(journal.check_cuts()?)
}

/// Gives the job's dictionary the symbols that it had, in the checkpoint and in the journal behind it. Those that the
/// program has put there itself must be its first.
pub(super) fn restore_symbols(
    recovered: Option<&Recovered>,
    found: Option<&FoundJournal>,
    symbols: &Dictionary,
) -> Result<(), Error> {
    let mut texts: Vec<String> = recovered.map(|recovered| recovered.symbols.clone()).unwrap_or_default();
    if let Some(found) = found {
        let (first, journaled) = found.symbols();
        let differs = |reason: String| Error::State(StateError::misfit(found.path(), reason));
        for (id, text) in (first..).zip(journaled) {
            match texts.get(id as usize) {
                Some(was) if was != text => {
                    return Err(differs(format!("symbol {id} is `{text}` in the journal and `{was}` in a checkpoint")));
                }
                Some(_) => {}
                None if id as usize == texts.len() => texts.push(text.clone()),
                None => {
                    return Err(differs(format!("symbol {id} is in the journal, and {} are before it", texts.len())));
                }
            }
        }
    }
    let path = recovered.map(Recovered::path).or(found.map(FoundJournal::path)).unwrap_or(Path::new(""));
    let misfit = |reason: String| Error::State(StateError::misfit(path, reason));
    for (id, (now, was)) in symbols.texts().iter().zip(&texts).enumerate() {
        if **now != **was {
            return Err(misfit(format!("symbol {id} is `{now}` in this program and was `{was}`")));
        }
    }
    for (id, text) in texts.iter().enumerate() {
        let symbol = symbols.intern(text).map_err(|error| misfit(error.to_string()))?;
        if symbol.id() as usize != id {
            return Err(misfit(format!("`{text}` is symbol {} and also symbol {id}", symbol.id())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_that_share_a_text_are_refused() {
        let restore = |texts: &[&str], symbols: &Dictionary| {
            let mut recovered = Recovered::default();
            recovered.symbols.extend(texts.iter().map(|text| (*text).to_owned()));
            restore_symbols(Some(&recovered), None, symbols).map_err(|error| error.to_string())
        };
        let symbols = Dictionary::default();
        assert_eq!((restore(&["A", "B"], &symbols), symbols.len()), (Ok(()), 2));
        // Whatever the program has put there behind them.
        assert_eq!(restore(&["A"], &symbols), Ok(()));
        let error = restore(&["A", "B", "A"], &Dictionary::default()).unwrap_err();
        assert!(error.contains("`A` is symbol 0 and also symbol 2"), "{error}");
    }
}
