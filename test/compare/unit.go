package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A unit formats a value with about three digits.
type unit func(float64) string

// none stands for a missing value.
const none = "–"

// duration formats seconds.
func duration(s float64) string {
	switch {
	case math.IsNaN(s):
		return none
	case s < 1e-3:
		return digits(s*1e6) + " µs"
	case s < 1:
		return digits(s*1e3) + " ms"
	}
	return digits(s) + " s"
}

func rate(perSecond float64) string { return count(perSecond) }

func count(n float64) string {
	if math.IsNaN(n) {
		return none
	}
	return digits(n)
}

func share(part float64) string {
	if math.IsNaN(part) {
		return none
	}
	return digits(part*100) + "%"
}

func size(n float64) string {
	switch {
	case math.IsNaN(n):
		return none
	case n < 1000:
		return digits(n) + " B"
	case n < 1e6:
		return digits(n/1e3) + " kB"
	}
	return digits(n/1e6) + " MB"
}

// times formats a ratio.
func times(r float64) string { return digits(r) + "×" }

// digits formats a number with three digits. Larger numbers keep all digits before the decimal
// point, in groups of three.
func digits(v float64) string {
	switch abs := math.Abs(v); {
	case v == math.Trunc(v) && abs < 1000, abs >= 99.95:
		return grouped(strconv.FormatFloat(v, 'f', 0, 64))
	case abs >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case abs >= 0.01:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return fmt.Sprintf("%.1g", v)
}

func grouped(number string) string {
	var b strings.Builder
	for i, digit := range number {
		if left := len(number) - i; i > 0 && left%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}
