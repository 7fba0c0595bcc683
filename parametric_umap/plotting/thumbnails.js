// Shows the picture of the row that is pointed at. `sheets` is what thumbnails.py makes; {plot_id} is plotly's.
const plot = document.getElementById("{plot_id}");
const SIDE = 112; // pixels of the screen
const scale = SIDE / Math.max(sheets.height, sheets.width);
const [width, height] = [sheets.width * scale, sheets.height * scale];
const perSheet = sheets.per_side ** 2;

const thumbnail = document.createElement("div");
thumbnail.id = "thumbnail";
thumbnail.style.cssText = `position: fixed; display: none; pointer-events: none; z-index: 10; width: ${width}px;
  height: ${height}px; border: 1px solid #999; box-shadow: 0 1px 4px #0004; image-rendering: pixelated;`;
document.body.appendChild(thumbnail);

let pointer = { x: 0, y: 0 };
let shownSheet = -1;

function place() {
  const left = pointer.x - width - 16;
  thumbnail.style.left = `${left < 0 ? pointer.x + 16 : left}px`;
  thumbnail.style.top = `${Math.min(Math.max(pointer.y - height / 2, 4), window.innerHeight - height - 6)}px`;
}

function show(row) {
  const sheet = Math.floor(row / perSheet);
  const cell = row % perSheet;
  if (sheet !== shownSheet) {
    thumbnail.style.backgroundImage = `url(${sheets.sources[sheet]})`;
    thumbnail.style.backgroundSize = `${sheets.per_side * width}px auto`;
    shownSheet = sheet;
  }
  const [line, column] = [Math.floor(cell / sheets.per_side), cell % sheets.per_side];
  thumbnail.style.backgroundPosition = `${-column * width}px ${-line * height}px`;
  thumbnail.dataset.row = row;
  thumbnail.style.display = "block";
  place();
}

window.addEventListener("mousemove", (event) => {
  pointer = { x: event.clientX, y: event.clientY };
  place();
}, true);
plot.on("plotly_hover", (event) => show(event.points[0].customdata));
plot.on("plotly_unhover", () => { thumbnail.style.display = "none"; });
