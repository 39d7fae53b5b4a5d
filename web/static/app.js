// What only a browser can do: copy a text, keep "4 min ago" true while a page
// stays open, and stop a private key before it leaves the machine. Every page
// works without this file; it only acts on elements that ask with data-….

document.documentElement.classList.add("js");

// The language of the page: words.script in words.go.
const text = JSON.parse(document.body.dataset.words);
const say = (key, value) => text[key].replace("{1}", value);

// The same table as words.span in pages_format.go.
function span(seconds) {
	if (seconds < 60) return say("s", seconds);
	if (Math.round(seconds / 60) < 60) return say("min", Math.round(seconds / 60));
	if (Math.round(seconds / 3600) < 48) return say("h", Math.round(seconds / 3600));
	return say("days", Math.round(seconds / 86400));
}

function words(time) {
	const past = Math.round((Date.now() - Date.parse(time.dateTime)) / 1000);
	const length = span(Math.abs(past));
	if (time.dataset.ago === "age") return length;
	if (Math.abs(past) < 5) return text.now;
	return say(past > 0 ? "ago" : "in", length);
}

function refresh() {
	for (const time of document.querySelectorAll("time[data-ago]")) {
		const now = words(time);
		if (time.textContent !== now) time.textContent = now;
	}
}

// On a narrow screen a chart begins with what is newest, at its right end.
for (const chart of document.querySelectorAll("[data-latest]")) chart.scrollLeft = chart.scrollWidth;

// Buttons that need this file are hidden in the page and shown here.
function enable(root) {
	for (const control of root.querySelectorAll("button[data-copy], input[data-every]")) control.hidden = false;
	for (const box of root.querySelectorAll("input[data-keep]")) if (marked.has(box.value)) box.checked = true;
}

async function copy(button) {
	const command = document.getElementById(button.dataset.copy).textContent;
	try {
		await navigator.clipboard.writeText(command);
	} catch { // no clipboard on plain http: select, so that one key press copies
		getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
		button.textContent = text.press;
		return;
	}
	button.textContent = text.copied;
	setTimeout(() => { button.textContent = text.copy; }, 2000);
}

document.addEventListener("click", (event) => {
	const button = event.target.closest("button[data-copy]");
	if (button) copy(button);
});

document.addEventListener("input", (event) => {
	const field = event.target;
	if (!field.dataset?.guard) return;
	const secret = field.value.includes("PRIVATE KEY");
	field.setCustomValidity(secret ? text.private : "");
	if (secret) field.reportValidity();
});

document.addEventListener("keydown", (event) => {
	const search = document.querySelector("input[type=search]");
	const typing = event.target.closest("input, textarea, select");
	if (event.key !== "/" || typing || !search) return;
	event.preventDefault();
	search.focus();
});

// Marks of a list stay when its rows are drawn anew.
const marked = new Set();
document.addEventListener("change", (event) => {
	const box = event.target;
	if (box.dataset?.every) {
		for (const one of box.form.querySelectorAll(`input[name="${box.dataset.every}"]`)) {
			one.checked = box.checked;
			marked[box.checked ? "add" : "delete"](one.value);
		}
	} else if (box.dataset?.keep !== undefined) {
		marked[box.checked ? "add" : "delete"](box.value);
	}
});

document.addEventListener("htmx:load", (event) => {
	enable(event.target);
	refresh();
});

enable(document);
refresh();
setInterval(refresh, 1000);
