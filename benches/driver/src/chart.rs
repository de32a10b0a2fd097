//! A chart of one figure as SVG: one bar for each server, the best on top, with the median and a line from the minimum to
//! the maximum.

use crate::results::{number, Spread};
use crate::servers::Server;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 56.0;
const ROW: f64 = 26.0;

pub fn draw(title: &str, unit: &str, bars: &[(Server, Spread)]) -> String {
    let longest = bars.iter().map(|(_, spread)| spread.most).fold(f64::MIN_POSITIVE, f64::max);
    let length = |value: f64| value / longest * (WIDTH - LEFT - RIGHT);
    let height = TOP + ROW * bars.len() as f64 + 12.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{}</text>\n\
         <text x=\"12\" y=\"41\" fill=\"#555\">{}; median, and from the least to the most; shorter is better</text>\n",
        escape(title),
        escape(unit)
    );
    for (row, (server, spread)) in bars.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let (middle, baseline) = (y + 9.0, y + 14.0);
        let colour = match server {
            Server::Lockgate => "#1668b8",
            Server::Floor => "#9aa5b1",
            _ => "#c9d3de",
        };
        svg += &format!(
            "<text x=\"{:.1}\" y=\"{baseline:.1}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"18\" fill=\"{colour}\"/>\n\
             <path d=\"M{:.1} {middle:.1}H{:.1}\" stroke=\"#222\"/>\n\
             <text x=\"{:.1}\" y=\"{baseline:.1}\">{}</text>\n",
            LEFT - 8.0,
            server.name(),
            length(spread.median),
            LEFT + length(spread.least),
            LEFT + length(spread.most),
            LEFT + length(spread.most) + 8.0,
            number(spread.median)
        );
    }
    svg + "</svg>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
