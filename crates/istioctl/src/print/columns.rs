//! Elastic columns, laid out as Go's `text/tabwriter` lays them out, so that tables equal Istio's to the space.

/// Collects rows of cells and pads every cell but the last of its row to the widest of its column block.
///
/// A column block is a run of consecutive rows that have that column (as text/tabwriter: a cell counts for
/// a column only if another cell follows it).
#[derive(Debug)]
pub struct Columns {
    padding: usize,
    rows: Vec<Vec<String>>,
}

impl Columns {
    /// An empty table whose columns are separated by at least `padding` spaces.
    #[must_use]
    pub fn new(padding: usize) -> Self {
        Self { padding, rows: Vec::new() }
    }

    /// Adds one row.
    pub fn row<I, S>(&mut self, cells: I)
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The table as text, one `\n` after every row.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        self.block(0, self.rows.len(), &mut Vec::new(), &mut out);
        out
    }

    fn has_column(&self, row: usize, column: usize) -> bool {
        column + 1 < self.rows[row].len()
    }

    fn block(&self, mut from: usize, to: usize, widths: &mut Vec<usize>, out: &mut String) {
        let column = widths.len();
        let mut row = from;
        while row < to {
            if !self.has_column(row, column) {
                row += 1;
                continue;
            }
            self.write(from, row, widths, out);
            from = row;
            let mut width = 0;
            while row < to && self.has_column(row, column) {
                width = width.max(self.rows[row][column].chars().count() + self.padding);
                row += 1;
            }
            widths.push(width);
            self.block(from, row, widths, out);
            widths.pop();
            from = row;
        }
        self.write(from, to, widths, out);
    }

    fn write(&self, from: usize, to: usize, widths: &[usize], out: &mut String) {
        for row in &self.rows[from..to] {
            for (column, cell) in row.iter().enumerate() {
                out.push_str(cell);
                if let Some(width) = widths.get(column) {
                    out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
                }
            }
            out.push('\n');
        }
    }
}
