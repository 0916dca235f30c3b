//! Stories of the real programs.

mod local_mesh;
