// Draws the charts of metrics with uPlot, in the colours of the style sheet.
"use strict";

function drawChart(place) {
  const told = JSON.parse(place.dataset.chart);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
  const share = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
  const written = (value) => {
    if (value === null || value === undefined) return "–";
    return told.percent ? share.format(value) : number.format(value);
  };
  const time = (seconds) => {
    const text = new Date(seconds * 1000).toISOString();
    return text.endsWith("T00:00:00.000Z") ? text.slice(0, 10) : text.slice(0, 16).replace("T", " ");
  };
  const day = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", timeZone: "UTC" });
  const month = new Intl.DateTimeFormat("en", { month: "short", year: "numeric", timeZone: "UTC" });
  const tick = (seconds, step) => {
    const date = new Date(seconds * 1000);
    if (step >= 28 * 86400) return month.format(date);
    if (step >= 86400 || seconds % 86400 === 0) return day.format(date);
    return date.toISOString().slice(11, 16);
  };
  const isPanel = place.closest(".panel-body") !== null;
  const height = () => (isPanel ? 210 : innerWidth < 760 ? 230 : 290);
  let chart = null;

  // light-dark() is resolved only where a real property uses it.
  const probe = document.createElement("span");
  probe.hidden = true;
  place.append(probe);
  const colour = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const faded = (css, share) => css.replace(/^rgb\((.*)\)$/, `rgba($1, ${share})`);

  const tip = document.createElement("div");
  tip.className = "chart-tip";
  tip.hidden = true;

  const line = (swatch, name, value) => {
    const row = document.createElement("div");
    const mark = document.createElement("span");
    mark.className = `swatch series-${swatch}`;
    const label = document.createElement("span");
    label.textContent = name;
    const text = document.createElement("strong");
    text.className = "num";
    text.textContent = value;
    row.append(mark, label, text);
    return row;
  };

  // What it was in the stretch of time that it is compared with, or what is usual.
  const was = (at, idx) => {
    const { before, band } = told.series[at];
    const other = before?.[idx] ?? band?.expected?.[idx];
    if (other === null || other === undefined) return "";
    return band ? ` (usually ${written(other)})` : ` (${written(other)})`;
  };

  const showTip = (plot) => {
    const { idx, left, top } = plot.cursor;
    if (idx === null || idx === undefined || left < 0 || place.clientWidth === 0) {
      tip.hidden = true;
      return;
    }
    const head = document.createElement("div");
    head.textContent = time(told.times[idx]);
    const rows = told.series
      .map((series, at) => ({ at, name: series.name, value: series.values[idx] }))
      .filter((row) => row.value !== null)
      .sort((a, b) => b.value - a.value)
      .map((row) => line(row.at, row.name, written(row.value) + was(row.at, idx)));
    tip.replaceChildren(head, ...rows);
    tip.hidden = false;
    const width = plot.over.clientWidth;
    const x = left > width / 2 ? left - tip.offsetWidth - 14 : left + 14;
    const y = Math.max(0, Math.min(top, plot.over.clientHeight - tip.offsetHeight));
    tip.style.transform = `translate(${x}px, ${y}px)`;
  };

  // Dragging over a range of time asks for that range.
  const zoom = (plot) => {
    if (told.fixed || plot.select.width < 8) return;
    const at = (x) => new Date(plot.posToVal(x, "x") * 1000).toISOString().slice(0, 19) + "Z";
    const address = new URL(location.href);
    address.searchParams.set("from", at(plot.select.left));
    address.searchParams.set("to", at(plot.select.left + plot.select.width));
    address.searchParams.delete("done");
    location.assign(address);
  };

  const draw = () => {
    chart?.destroy();
    const soft = colour("--soft");
    const axis = {
      stroke: soft,
      font: `11px ${getComputedStyle(document.body).fontFamily}`,
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
    };
    const alone = told.series.length === 1;
    const series = told.series.map((one, at) => {
      const stroke = colour(`--series-${at}`);
      return {
        label: one.name,
        stroke,
        width: 1.75,
        // A band of its own is not to be told from the area under the line.
        fill: alone && !one.band ? faded(stroke, 0.1) : undefined,
        points: { size: 5, fill: stroke },
      };
    });
    // The same groups in the other stretch of time: dashed, and paler.
    const others = told.series.map((one, at) => ({ one, at })).filter(({ one }) => one.before);
    const before = others.map(({ one, at }) => ({
      label: `${one.name}, before`,
      stroke: faded(colour(`--series-${at}`), 0.55),
      width: 1.5,
      dash: [5, 4],
      points: { show: false },
    }));
    // What is usual, dotted, and how far from it is too far, dashed, with the band between.
    const bands = told.series.map((one, at) => ({ band: one.band, at })).filter(({ band }) => band);
    const ofBand = (at, dash) => ({
      stroke: faded(colour(`--series-${at}`), 0.7),
      width: 1,
      dash,
      points: { show: false },
    });
    const bounds = bands.flatMap(({ band, at }) => [
      { numbers: band.most, series: ofBand(at, [6, 4]) },
      { numbers: band.expected, series: ofBand(at, [2, 3]) },
      { numbers: band.least, series: ofBand(at, [6, 4]) },
    ]);
    const firstBound = 1 + series.length + before.length;
    const fills = bands.flatMap(({ band, at }, place) => {
      const [most, expected, least] = [0, 1, 2].map((part) => firstBound + 3 * place + part);
      const fill = faded(colour(`--series-${at}`), 0.09);
      const has = (numbers) => numbers.some((number) => number !== null);
      return [
        ...(has(band.most) ? [{ series: [most, expected], fill }] : []),
        ...(has(band.least) ? [{ series: [expected, least], fill }] : []),
      ];
    });
    const marks = told.marks ?? [];
    // Where an alert fires: shaded, with a strip in the colour of its line.
    const drawSpans = (plot) => {
      const { ctx, bbox } = plot;
      const end = bbox.left + bbox.width;
      ctx.save();
      ctx.font = `${11 * devicePixelRatio}px ${getComputedStyle(document.body).fontFamily}`;
      let named = -Infinity;
      for (const span of told.spans ?? []) {
        const x = (seconds) => Math.min(end, Math.max(bbox.left, plot.valToPos(seconds, "x", true)));
        const right = x(span.to);
        const left = Math.min(x(span.from), right - 6 * devicePixelRatio);
        ctx.fillStyle = faded(colour("--secret"), 0.1);
        ctx.fillRect(left, bbox.top, right - left, bbox.height);
        const own = span.series !== null && span.series < told.series.length;
        ctx.fillStyle = colour(own ? `--series-${span.series}` : "--secret");
        ctx.fillRect(left, bbox.top, right - left, 3 * devicePixelRatio);
        if (left >= named) {
          ctx.fillStyle = colour("--secret");
          ctx.textAlign = right - left < 40 * devicePixelRatio && right > end - 40 * devicePixelRatio ? "right" : "left";
          const at = ctx.textAlign === "left" ? left + 4 * devicePixelRatio : right - 4 * devicePixelRatio;
          ctx.fillText("fires", at, bbox.top + 16 * devicePixelRatio);
          named = left + 44 * devicePixelRatio;
        }
      }
      ctx.restore();
    };
    const drawMarks = (plot) => {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.strokeStyle = colour("--secret");
      ctx.fillStyle = colour("--secret");
      ctx.font = `${11 * devicePixelRatio}px ${getComputedStyle(document.body).fontFamily}`;
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
      for (const mark of marks) {
        const y = plot.valToPos(mark.value, "y", true);
        if (y < bbox.top || y > bbox.top + bbox.height) continue;
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
        ctx.textAlign = "right";
        ctx.fillText(mark.name, bbox.left + bbox.width - 4, y - 5 * devicePixelRatio);
      }
      ctx.restore();
    };
    const highest = Math.max(0, ...marks.map((mark) => mark.value));
    const options = {
      width: place.clientWidth,
      height: height(),
      padding: [10, 22, 0, 0],
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      legend: { show: false },
      cursor: { y: false, points: { size: 7 }, drag: { x: true, y: false, setScale: false } },
      scales: { y: { range: (_plot, _least, most) => [0, Math.max(most, highest) > 0 ? Math.max(most, highest) * 1.08 : 1] } },
      axes: [
        { ...axis, space: 70, size: 30, values: (_plot, at, _axis, _space, step) => at.map((one) => tick(one, step)) },
        { ...axis, size: 52, values: (_plot, values) => values.map(written) },
      ],
      series: [{}, ...series, ...before, ...bounds.map((bound) => bound.series)],
      bands: fills,
      hooks: {
        drawClear: [drawSpans],
        ready: [(plot) => plot.over.append(tip)],
        setCursor: [showTip],
        setSelect: [zoom],
        draw: [drawMarks],
      },
    };
    chart = new uPlot(options, [told.times, ...told.series.map((one) => one.values), ...others.map(({ one }) => one.before), ...bounds.map((bound) => bound.numbers)], place);
  };

  draw();
  dark.addEventListener("change", draw);
  new ResizeObserver(() => {
    if (chart && place.clientWidth > 0 && place.clientWidth !== chart.width) {
      chart.setSize({ width: place.clientWidth, height: height() });
    }
  }).observe(place);
}

function drawIn(root) {
  for (const place of root.querySelectorAll("[data-chart]:not([data-drawn])")) {
    place.dataset.drawn = "1";
    drawChart(place);
  }
}

drawIn(document);
// Panels come later, each by itself.
document.addEventListener("htmx:afterSettle", (event) => drawIn(event.detail.elt));
