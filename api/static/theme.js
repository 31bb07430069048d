// The theme, before the first paint: what the person chose, else the system's.
document.documentElement.dataset.theme = localStorage.getItem("wattquorum.theme") ?? "auto";
