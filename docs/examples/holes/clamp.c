int clamp(int value, int low, int high) {
    if (value < low) return low;
    <hole>
    return value;
}
