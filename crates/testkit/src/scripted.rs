//! A scripted proxy over real gRPC (written below).
