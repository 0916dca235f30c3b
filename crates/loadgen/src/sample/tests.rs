//! What is said of a sample.

use super::*;

#[test]
fn a_quantile_is_a_value_of_the_sample() {
    let mut sample = Sample::default();
    assert_eq!(sample.median(), 0.0);
    sample.extend([5.0, 1.0, 3.0]);
    sample.push(4.0);
    let all = (sample.min(), sample.median(), sample.quantile(0.75), sample.max());
    assert_eq!(all, (1.0, 3.0, 4.0, 5.0));
}

#[test]
fn a_ratio_above_one_is_in_our_favour() {
    assert_eq!((ratio(2.0, 9.0), ratio(10.0, 5.0)), ("4.50x".to_owned(), "0.500x".to_owned()));
    assert_eq!(ratio(0.0, 5.0), "-");
}
