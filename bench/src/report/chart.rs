//! A chart of all contests: for each work the rivals' speeds as bars, the fastest one full length.
//!
//! Written as SVG text with colours that show on light and on dark ground.

use crate::contest::Standing;

const WIDTH: u32 = 960;
const MARGIN: u32 = 16;
/// Where bars start, in pixels from the left, and how long the longest is.
const BARS_LEFT: u32 = 300;
const BARS_WIDTH: f64 = 420.0;
const BAR_HEIGHT: u32 = 16;
const BAR_STEP: u32 = 22;
const TITLE_STEP: u32 = 30;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2328}.t{font-weight:600}.n{fill:#59636e}\
    .w{stroke:#59636e;stroke-width:1.5}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}.n{fill:#9198a1}.w{stroke:#c9d1d9}}";

/// Text as it may stand in SVG.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            character if character.is_control() => out.push(' '),
            character => out.push(character),
        }
    }
    out
}

fn colour(name: &str) -> &'static str {
    match name.split([',', ' ', '\'']).next() {
        Some("pelton") => "#2f81f7",
        Some("plain") => "#8c959f",
        Some("expert") => "#2da44e",
        _ => "#d4793a",
    }
}

/// The chart of all contests whose rivals have speeds.
pub(super) fn draw(standings: &[Standing]) -> String {
    let mut body = String::new();
    let mut y = MARGIN;
    for standing in standings.iter().filter(|standing| standing.events > 1) {
        let spreads = standing.rivals.iter().filter_map(|rival| Some((&*rival.name, rival.spread_ns()?)));
        let spreads: Vec<_> = spreads.collect();
        // No run was faster: its bar would have the full length.
        let Some(fastest) = spreads.iter().map(|(_, spread)| spread.0.max(1.0)).min_by(f64::total_cmp) else {
            continue;
        };
        y += TITLE_STEP - BAR_HEIGHT;
        let title = escaped(&standing.work);
        body.push_str(&format!("<text class=\"t\" x=\"{MARGIN}\" y=\"{}\">{title}</text>\n", y + 12));
        y += BAR_STEP;
        for (name, (least, median, most)) in spreads {
            let x = |ns: f64| f64::from(BARS_LEFT) + BARS_WIDTH * fastest / ns.max(1.0);
            let (length, text_y, middle) = (x(median) - f64::from(BARS_LEFT), y + 13, y + BAR_HEIGHT / 2);
            let ns = median / standing.events as f64;
            let (fill, label) = (colour(name), escaped(name));
            body.push_str(&format!(
                "<text x=\"{}\" y=\"{text_y}\" text-anchor=\"end\">{label}</text>\n\
                 <rect x=\"{BARS_LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR_HEIGHT}\" fill=\"{fill}\"/>\n\
                 <line class=\"w\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>\n\
                 <text class=\"n\" x=\"{:.1}\" y=\"{text_y}\">{:.1} M events/s, {ns:.1} ns/event</text>\n",
                BARS_LEFT - 8,
                x(most),
                x(least),
                x(least) + 8.0,
                1e3 / ns,
            ));
            y += BAR_STEP;
        }
    }
    let height = y + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\" aria-label=\"Speed by work; longer is faster\">\n<style>{STYLE}</style>\n{body}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::standing;
    use super::*;

    /// Panics where tags do not nest, an attribute is not quoted or a character is not escaped.
    fn check_well_formed(svg: &str) {
        let mut open: Vec<&str> = Vec::new();
        let mut rest = svg.trim();
        let mut roots = 0;
        while let Some(start) = rest.find('<') {
            let text = &rest[..start];
            assert!(!text.contains('>') || open.last() == Some(&"style"), "{text}");
            for (at, _) in text.match_indices('&') {
                let is_entity = ["&amp;", "&lt;", "&gt;", "&quot;"].iter().any(|entity| text[at..].starts_with(entity));
                assert!(is_entity, "{text}");
            }
            assert!(!open.is_empty() || text.trim().is_empty(), "text outside: {text}");
            let end = start + rest[start..].find('>').expect("a tag ends");
            let tag = &rest[start + 1..end];
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
            } else {
                let name = tag.split([' ', '/']).next().unwrap();
                roots += usize::from(open.is_empty());
                let attributes = tag[name.len()..].trim_end_matches('/').trim();
                let mut quoted = attributes.split('"');
                while let (Some(before), Some(_)) = (quoted.next(), quoted.next()) {
                    assert!(before.trim().ends_with('='), "{tag}");
                }
                assert!(attributes.matches('"').count().is_multiple_of(2), "{tag}");
                if !tag.ends_with('/') {
                    open.push(name);
                }
            }
            rest = &rest[end + 1..];
        }
        assert!(open.is_empty() && rest.is_empty() && roots == 1, "{open:?} {rest} {roots}");
    }

    #[test]
    fn the_chart_is_well_formed_whatever_the_names() {
        check_well_formed(&draw(&[]));
        let svg = draw(&[
            standing("a < b & \"c\"", &[("pelton", &[10, 20]), ("pla>in", &[40]), ("none", &[])]),
            standing("another", &[("x", &[1])]),
        ]);
        check_well_formed(&svg);
        assert_eq!((svg.matches("<rect").count(), svg.matches("class=\"t\"").count()), (3, 2));
        // The fastest run of all, of 10 ms, would have the full length.
        assert!(svg.contains("width=\"280.0\"") && svg.contains("width=\"105.0\""), "{svg}");
    }

    #[test]
    #[should_panic(expected = "assertion")]
    fn the_check_finds_tags_that_do_not_nest() {
        check_well_formed("<svg><text></svg></text>");
    }
}
