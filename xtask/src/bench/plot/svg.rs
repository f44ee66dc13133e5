//! Groups of horizontal bars, as SVG that can be read on a light and on a dark page.

use std::fmt::Write as _;

/// A picture.
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// Lines below the title.
    pub(super) notes: Vec<String>,
    pub(super) groups: Vec<Group>,
}

/// Bars that belong together.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) bars: Vec<Bar>,
}

/// A number.
pub(super) struct Bar {
    pub(super) label: &'static str,
    pub(super) value: f64,
    /// The least and the most that was measured, if it was measured more than once.
    pub(super) range: Option<[f64; 2]>,
    /// Whether it is what the picture is about.
    pub(super) is_ours: bool,
}

const WIDTH: f64 = 760.0;
const MARGIN: f64 = 24.0;
/// Where bars begin.
const LEFT: f64 = 190.0;
/// Room for the number after the longest bar.
const RIGHT: f64 = 76.0;
const NOTES: f64 = 56.0;
const NOTE: f64 = 18.0;
const TOP: f64 = 22.0;
const GROUP_HEAD: f64 = 26.0;
const GROUP_GAP: f64 = 14.0;
const ROW: f64 = 24.0;
const BAR: f64 = 16.0;

const STYLE: &str = "\
text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 }
.group { font-weight: 600 }
.note, .label { fill: #59636e }
.page { fill: #ffffff; stroke: #d1d9e0 }
.ours { fill: #0969da }
.other { fill: #9198a1 }
.range { stroke: #1f2328; stroke-width: 1.2; fill: none }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .note, .label { fill: #9198a1 }
  .page { fill: #0d1117; stroke: #3d444d }
  .ours { fill: #4493f8 }
  .other { fill: #656c76 }
  .range { stroke: #f0f6fc }
}
";

impl Chart {
    /// The text of the picture.
    pub(super) fn to_svg(&self) -> String {
        let highest = |bar: &Bar| bar.range.map_or(bar.value, |[_, most]| most.max(bar.value));
        let most = self.groups.iter().flat_map(|group| &group.bars).map(highest).fold(f64::MIN_POSITIVE, f64::max);
        // What is too little to be told from nothing is still there.
        let length = |value: f64| ((WIDTH - LEFT - RIGHT) * value.max(0.0) / most).max(1.0);
        let mut body = String::new();
        let text = |class: &str, anchor: &str, x: f64, y: f64, content: &str| {
            let content = escape(content);
            format!("<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{content}</text>\n")
        };
        body += &text("title", "start", MARGIN, 34.0, self.title);
        let mut y = NOTES;
        for note in &self.notes {
            body += &text("note", "start", MARGIN, y, note);
            y += NOTE;
        }
        y += TOP - NOTE;
        for group in &self.groups {
            body += &text("group", "start", MARGIN, y + 16.0, &group.name);
            y += GROUP_HEAD;
            for bar in &group.bars {
                let class = if bar.is_ours { "ours" } else { "other" };
                body += &text("label", "end", LEFT - 8.0, y + 12.5, bar.label);
                let _ = writeln!(
                    body,
                    "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>",
                    length(bar.value)
                );
                if let Some([low, high]) = bar.range {
                    let (from, to) = (LEFT + length(low), LEFT + length(high));
                    let (top, middle, bottom) = (y + 4.0, y + BAR / 2.0, y + BAR - 4.0);
                    let _ = writeln!(
                        body,
                        "<path class=\"range\" d=\"M{from:.1} {top:.1}V{bottom:.1}M{from:.1} {middle:.1}H{to:.1}M{to:.1} {top:.1}V{bottom:.1}\"/>"
                    );
                }
                body += &text("value", "start", LEFT + length(highest(bar)) + 7.0, y + 12.5, &number(bar.value));
                y += ROW;
            }
            y += GROUP_GAP;
        }
        let (inner_width, inner_height) = (WIDTH - 1.0, y - 1.0);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" height=\"{y}\" role=\"img\">\n\
             <title>{}</title>\n<style>\n{STYLE}</style>\n\
             <rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"{inner_width}\" height=\"{inner_height}\" rx=\"6\"/>\n{body}</svg>\n",
            escape(self.title)
        )
    }
}

/// With as many digits as mean something.
fn number(value: f64) -> String {
    format!("{value:.1}")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(bars: Vec<Bar>) -> String {
        let group = Group { name: "one & two".to_owned(), bars };
        Chart { title: "title", notes: vec!["a note".to_owned()], groups: vec![group] }.to_svg()
    }

    fn widths(values: [f64; 3]) -> Vec<f64> {
        let bars = values.map(|value| Bar { label: "a < b", value, range: None, is_ours: false });
        let svg = draw(bars.into());
        assert!(svg.contains(">a note<") && !svg.contains("class=\"range\""), "{svg}");
        assert!(svg.contains("a &lt; b") && svg.contains("one &amp; two"), "{svg}");
        let bars = svg.lines().filter(|line| line.starts_with("<rect class=\"other\""));
        let width = |line: &str| line.split("width=\"").nth(1)?.split('"').next()?.parse().ok();
        bars.map(|line| width(line).unwrap()).collect()
    }

    #[test]
    fn bars_are_as_long_as_numbers_are_high() {
        let full = WIDTH - LEFT - RIGHT;
        assert_eq!(widths([10.0, 5.0, 20.0]), [full / 2.0, full / 4.0, full]);
        // Less than nothing is noise.
        assert_eq!(widths([-3.0, 0.0, 1.0]), [1.0, 1.0, full]);
    }

    #[test]
    fn a_range_fits_into_the_picture() {
        let full = WIDTH - LEFT - RIGHT;
        let svg = draw(vec![Bar { label: "", value: 10.0, range: Some([-1.0, 20.0]), is_ours: true }]);
        let (from, to) = (LEFT + 1.0, LEFT + full);
        assert!(svg.contains(&format!("width=\"{:.1}\"", full / 2.0)), "{svg}");
        assert!(svg.contains(&format!("M{from:.1} ")) && svg.contains(&format!("H{to:.1}M")), "{svg}");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.123, 9.96, 17.26].map(number), ["0.1", "10.0", "17.3"]);
    }
}
