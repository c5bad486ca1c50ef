package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// charted returns results with the given values in every panel.
func charted(values ...float64) *results {
	var scenarios []scenario
	for _, p := range panels {
		scenarios = append(scenarios, scenario{name: p.scenario, metrics: []metric{{name: p.metric, unit: duration}}})
	}
	libraries := []library{{name: "ours"}, {name: "<theirs> & co"}, {name: "third"}}
	r := newResults(scenarios, libraries)
	for s := range scenarios {
		for p, v := range values {
			r.add(s, p, []float64{v})
		}
	}
	return r
}

// elements parses a document and returns its elements.
func elements(t *testing.T, document string) (all []xml.StartElement) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(document))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		if e, ok := token.(xml.StartElement); ok {
			all = append(all, e.Copy())
		}
	}
}

func attribute(t *testing.T, e xml.StartElement, name string) float64 {
	t.Helper()
	for _, a := range e.Attr {
		if a.Name.Local == name {
			v, err := strconv.ParseFloat(a.Value, 64)
			require.NoError(t, err)
			return v
		}
	}
	require.Fail(t, "no such attribute", "%s of %s", name, e.Name.Local)
	return 0
}

// TestChartStaysInsideFrame draws ordinary and extreme values.
func TestChartStaysInsideFrame(t *testing.T) {
	for _, values := range [][]float64{
		{0.001, 0.02, 0.3},
		{1, 1, 1},
		{nan, nan, nan},
		{0, nan, 5},
		{1e-9, 1, 1e9},
	} {
		all := elements(t, chart(charted(values...)))
		require.Equal(t, "svg", all[0].Name.Local)
		width, height := attribute(t, all[0], "width"), attribute(t, all[0], "height")
		for _, e := range all[1:] {
			switch e.Name.Local {
			case "rect":
				if attribute(t, e, "width") == width { // the background
					continue
				}
				require.LessOrEqual(t, attribute(t, e, "x")+attribute(t, e, "width"), width, values)
				require.GreaterOrEqual(t, attribute(t, e, "width"), 0.0, values)
				require.Less(t, attribute(t, e, "y"), height)
			case "text":
				require.Less(t, attribute(t, e, "x"), width, values)
				require.Less(t, attribute(t, e, "y"), height, values)
			}
		}
	}
}

func TestChartHasOneBarPerLibraryAndPanel(t *testing.T) {
	rects := 0
	for _, e := range elements(t, chart(charted(1, 2, 3))) {
		if e.Name.Local == "rect" {
			rects++
		}
	}
	require.Equal(t, len(panels)*3+1, rects, "the bars and the background")
}

func TestChartOmitsUnmeasuredPanels(t *testing.T) {
	for _, e := range elements(t, chart(newResults(nil, libraries))) {
		require.NotEqual(t, "text", e.Name.Local)
	}
}

func TestAxis(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   axis
	}{
		{[]float64{3, 40}, axis{0, 2}},
		{[]float64{10, 100}, axis{0, 2}}, // the smallest value has a bar too
		{[]float64{0.001, 1000}, axis{-4, 3}},
		{[]float64{0.0004, nan}, axis{-4, -3}},
		{[]float64{0, nan}, axis{0, 1}},
		{nil, axis{0, 1}},
	} {
		require.Equal(t, c.want, newAxis(c.values), c.values)
	}
	a := axis{0, 2}
	require.InDelta(t, plotLeft, a.x(1), 1e-9)
	require.InDelta(t, (plotLeft+plotRight)/2, a.x(10), 1e-9)
	require.InDelta(t, plotRight, a.x(100), 1e-9)
	require.InDelta(t, plotLeft, a.x(nan), 1e-9)
}
