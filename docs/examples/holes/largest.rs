fn largest(list: &[i32]) -> i32 {
    let mut largest = list[0];
    for &item in list {
        <hole>
    }
    largest
}
