//! Groups of horizontal bars, as SVG that can be read on a light and on a dark page.

use std::fmt::Write as _;

/// A picture.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) subtitle: &'static str,
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
    /// Whether it is what the picture is about.
    pub(super) is_ours: bool,
}

const WIDTH: f64 = 760.0;
const MARGIN: f64 = 24.0;
/// Where bars begin.
const LEFT: f64 = 190.0;
/// Room for the number after the longest bar.
const RIGHT: f64 = 76.0;
const TOP: f64 = 78.0;
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
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .note, .label { fill: #9198a1 }
  .page { fill: #0d1117; stroke: #3d444d }
  .ours { fill: #4493f8 }
  .other { fill: #656c76 }
}
";

impl Chart {
    /// The text of the picture.
    pub(super) fn to_svg(&self) -> String {
        let most =
            self.groups.iter().flat_map(|group| &group.bars).map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
        let mut body = String::new();
        let text = |class: &str, anchor: &str, x: f64, y: f64, content: &str| {
            let content = escape(content);
            format!("<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{content}</text>\n")
        };
        body += &text("title", "start", MARGIN, 34.0, self.title);
        body += &text("note", "start", MARGIN, 56.0, self.subtitle);
        let mut y = TOP;
        for group in &self.groups {
            body += &text("group", "start", MARGIN, y + 16.0, &group.name);
            y += GROUP_HEAD;
            for bar in &group.bars {
                // What is too little to be told from nothing is still there.
                let length = ((WIDTH - LEFT - RIGHT) * bar.value.max(0.0) / most).max(1.0);
                let class = if bar.is_ours { "ours" } else { "other" };
                body += &text("label", "end", LEFT - 8.0, y + 12.5, bar.label);
                let _ = writeln!(
                    body,
                    "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\"/>"
                );
                body += &text("value", "start", LEFT + length + 7.0, y + 12.5, &number(bar.value));
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

/// With two digits after the point, or one from ten on.
fn number(value: f64) -> String {
    if value.abs() < 9.995 { format!("{value:.2}") } else { format!("{value:.1}") }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widths(values: [f64; 3]) -> Vec<f64> {
        let bars = values.map(|value| Bar { label: "a < b", value, is_ours: false });
        let group = Group { name: "one & two".to_owned(), bars: bars.into() };
        let svg = Chart { title: "title", subtitle: "subtitle", groups: vec![group] }.to_svg();
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
    fn numbers_are_short() {
        assert_eq!([0.123, 9.994, 9.996, 17.26].map(number), ["0.12", "9.99", "10.0", "17.3"]);
    }
}
