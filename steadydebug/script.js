"use strict";
(() => {
	const every = 2000;
	const box = document.getElementById("refresh");
	const stale = document.getElementById("stale");
	document.getElementById("refreshing").hidden = false;

	// What somebody does with the page must not be taken away from under the hands.
	const inUse = () => {
		const main = document.querySelector("main");
		const typed = [...main.querySelectorAll("input")].some(field => field.value !== field.defaultValue);
		return typed || document.activeElement?.closest("form") || getSelection().type === "Range";
	};

	const show = main => {
		const open = [...document.querySelectorAll("details[open]")].map(element => element.id);
		const focused = document.activeElement?.closest("details")?.id;
		document.querySelector("main").replaceWith(main);
		for (const id of open) document.getElementById(id)?.setAttribute("open", "");
		if (focused) document.getElementById(focused)?.querySelector("summary").focus({preventScroll: true});
	};

	const refresh = async () => {
		const response = await fetch(location.href, {headers: {Accept: "text/html"}, signal: AbortSignal.timeout(10000)});
		if (!response.ok) throw new Error(response.status);
		const page = new DOMParser().parseFromString(await response.text(), "text/html");
		if (inUse()) return;
		show(page.querySelector("main"));
		document.title = page.title;
	};

	// A page that takes long to make, of a thousand origins, is asked for less often.
	const step = async () => {
		const begun = performance.now();
		try {
			if (box.checked && !document.hidden && !inUse()) await refresh();
			stale.textContent = "";
		} catch (error) {
			stale.textContent = "Out of date: the program does not respond (" + error.message + ").";
		}
		setTimeout(step, Math.max(every, 20 * (performance.now() - begun)));
	};
	setTimeout(step, every);
})();
