package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

const chartTitle = "Throughput and hand-off times of this library and others, on a logarithmic scale"

// A panel shows one metric of all libraries as bars on a logarithmic scale.
type panel struct {
	scenario, metric string
	title            string
	better           string
}

var panels = []panel{
	{"uncontended/goroutines=100", "cycles per second", "Acquire + release of distinct names, 100 goroutines: cycles per second", "longer is better"},
	{"next", "median", "From release to the next holder, one waiter: median", "shorter is better"},
	{"contention/contenders=10", "longest wait", "10 contenders for one lock: longest wait", "shorter is better"},
}

// Dimensions of the chart, in SVG units.
const (
	chartWidth  = 760
	margin      = 16
	labelWidth  = 150
	valueWidth  = 90
	barHeight   = 18
	barGap      = 7
	titleHeight = 30
	axisHeight  = 26
	panelGap    = 14
	plotLeft    = margin + labelWidth
	plotRight   = chartWidth - margin - valueWidth
)

// chart draws the panels whose metrics were measured, as an SVG document. The chart has its own
// background, because pages may be white or dark.
func chart(r *results) string {
	var body strings.Builder
	y := margin
	for _, p := range panels {
		s, m, ok := r.find(p.scenario, p.metric)
		if !ok {
			continue
		}
		y += p.draw(&body, y, r.scenarios[s].libraries, r.medians(s, m), r.scenarios[s].metrics[m].unit)
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" role="img" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d" font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#24292f">
<title>%[3]s</title>
<rect width="%[1]d" height="%[2]d" fill="#ffffff"/>
%[4]s</svg>
`, chartWidth, y+margin, chartTitle, body.String())
}

// draw draws the panel at y and returns its height.
func (p panel) draw(b *strings.Builder, y int, libraries []library, values []float64, u unit) (height int) {
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="bold">%s <tspan font-weight="normal" fill="#57606a">(%s)</tspan></text>`+"\n",
		margin, y+barHeight, html.EscapeString(p.title), html.EscapeString(p.better))
	top := y + titleHeight
	bottom := top + len(libraries)*(barHeight+barGap)
	axis := newAxis(values)
	axis.draw(b, top, bottom, u)
	for i, v := range values {
		bar(b, top+i*(barHeight+barGap), libraries[i].name, v, axis, u, i == 0)
	}
	return bottom + axisHeight + panelGap - y
}

func bar(b *strings.Builder, y int, name string, v float64, a axis, u unit, own bool) {
	color := "#8c959f"
	if own {
		color = "#0969da"
	}
	baseline := y + barHeight - 5
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", plotLeft-8, baseline, html.EscapeString(name))
	end := a.x(v)
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", plotLeft, y, end-plotLeft, barHeight, color)
	fmt.Fprintf(b, `<text x="%.1f" y="%d">%s</text>`+"\n", end+6, baseline, html.EscapeString(u(v)))
}

// An axis runs from one power of ten to another.
type axis struct{ low, high int }

// newAxis returns the shortest axis on which all values fit and the smallest one still has a bar.
func newAxis(values []float64) axis {
	a := axis{math.MaxInt, math.MinInt}
	for _, v := range values {
		if v > 0 { // false for NaN
			above := int(math.Ceil(math.Log10(v) - 1e-9)) // powers of ten have inexact logarithms
			a.low = min(a.low, above-1)
			a.high = max(a.high, above)
		}
	}
	if a.low > a.high {
		return axis{0, 1}
	}
	return a
}

// x returns the position of a value. A missing value has no bar.
func (a axis) x(v float64) float64 {
	if !(v > 0) {
		return plotLeft
	}
	part := (math.Log10(v) - float64(a.low)) / float64(a.high-a.low)
	return plotLeft + part*(plotRight-plotLeft)
}

func (a axis) draw(b *strings.Builder, top, bottom int, u unit) {
	for exponent := a.low; exponent <= a.high; exponent++ {
		v := math.Pow10(exponent)
		x := a.x(v)
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#d0d7de"/>`+"\n", x, top-2, x, bottom)
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle" font-size="11" fill="#57606a">%s</text>`+"\n", x, bottom+14, html.EscapeString(u(v)))
	}
}
