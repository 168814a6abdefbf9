// Run in the page: how wide it is, and the texts that stand out too little from what is behind them (WCAG AA: 4.5).
(() => {
	const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
	const luminance = (color) => {
		canvas.fillStyle = color;
		canvas.fillRect(0, 0, 1, 1);
		const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((each) => {
			const part = each / 255;
			return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
		});
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const backOf = (element) => {
		if (element === null) return "white";
		const { backgroundColor } = getComputedStyle(element);
		return backgroundColor === "rgba(0, 0, 0, 0)" ? backOf(element.parentElement) : backgroundColor;
	};
	const faint = [];
	for (const element of document.querySelectorAll("body *:not(style, script)")) {
		const nodes = [...element.childNodes];
		if (!nodes.some(({ nodeType, nodeValue }) => nodeType === Node.TEXT_NODE && nodeValue.trim()))
			continue;
		if (!element.checkVisibility()) continue;
		const both = [luminance(getComputedStyle(element).color), luminance(backOf(element))];
		const contrast = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
		if (contrast < 4.5) faint.push(`${element.textContent.trim()}: ${contrast.toFixed(2)}`);
	}
	return { width: document.documentElement.scrollWidth, faint };
})();
