package bubble

// InsideBy is Inside by another kernel's clock.
var InsideBy = inside
